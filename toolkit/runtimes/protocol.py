"""The interfaces that all inference runtimes implement: `Runtime` and `Session`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np

from toolkit.artifact import Artifact, Contract
from toolkit.errors import InputError, Unavailable
from toolkit.graph.reading import SECONDS
from toolkit.port import Frame
from toolkit.precisions import Precision
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.rehearsal import rehearse
from toolkit.runtimes.reported import Executed, LayerTime, Stages
from toolkit.sizes import reflected_indices
from toolkit.system.foreign import first_line, foreign
from toolkit.system.probe import Availability, require
from toolkit.workloads import Shape

if TYPE_CHECKING:
    from toolkit.native.yuv420 import Yuv420
    from toolkit.network.checkpoint import Checkpoint


class Session(ABC):
    """A loaded network. Call `bind` with a size once, then `run` with frames of that size.

    Frames of a size that the graph does not take, such as an odd one, are extended by reflection, and the result is
    cropped, exactly as the PyTorch network does. The next call of `run` overwrites the array that `run` returned.

    A subclass implements `_bind`, `_run` and `executed`. They may raise any exception: callers get an ArtifactError
    that names the file.

    Example:
        >>> session = toolkit.load_session("exported/rt4ksr_x2_fp32.onnx", "ort-cpu")
        >>> session.bind((48, 64))
        >>> session.run(np.zeros((1, 3, 48, 64), np.float32)).shape
        (1, 3, 96, 128)
        >>> {node.precision for node in session.executed().values()}
        {'fp32'}
    """

    extends_fixed_sizes: ClassVar[bool] = True
    """Whether `_run` takes frames of a static artifact's own size where that is odd, and the graph extends them."""

    def __init__(self, contract: Contract, where: object = "") -> None:
        """`where`: the file that was loaded, for error messages; default: the name in the contract."""
        self.contract = contract
        self._where = str(where) or contract.name
        self._shape: Shape | None = None
        self._rows: list[int] | None = None
        self._columns: list[int] | None = None
        self._placed: Frame | None = None

    def bind(self, shape: Shape | tuple[int, int]) -> None:
        """Prepare for frames of this size.

        Args:
            shape: height and width in pixels.

        Raises:
            InputError: the size is empty, or the artifact is static and has another size.
            ArtifactError: the runtime cannot run the graph at this size.
        """
        shape = shape if isinstance(shape, Shape) else Shape(*shape)
        if min(shape.sides) < 1:
            raise InputError(f"{shape} is not a size: each side must be at least 1 pixel")
        fixed = self.contract.fixed
        if fixed is not None and fixed != shape:
            raise InputError(f"{self.contract.name} accepts only {fixed}, not {shape}", "Export without --shape.")
        inner = self.contract.sizes.extended(shape)
        if fixed and self.extends_fixed_sizes:
            inner = shape
        self._rows = reflected_indices(shape.height, inner.height) if inner != shape else None
        self._columns = reflected_indices(shape.width, inner.width) if inner != shape else None
        with foreign(f"{self._where} cannot run at {shape}"):
            self._bind(inner)
        self._shape = shape

    def run(self, frame: Frame) -> Frame:
        """Upscale one frame of the bound size.

        Args:
            frame: in the layout and type of the artifact's input port.

        Returns:
            The result in the layout and type of the output port, `scale` times as large; overwritten by the next call.

        Raises:
            InputError: no size is bound, or the frame has another size or type.
            ArtifactError: the runtime cannot run the graph.
        """
        shape = self._accept(frame)
        extended = self._extended(frame)
        with foreign(f"{self._where} cannot run"):
            result = self._run(extended)
        if self._rows is None or self._columns is None:
            return result
        target = shape.upscaled(self.contract.scale)
        return self.contract.output.region(result, slice(target.height), slice(target.width))

    def place(self, frame: Frame) -> None:
        """Copy a frame to where the runtime reads its input, for `compute`.

        Raises:
            InputError: as `run`.
        """
        self._accept(frame)
        self._placed = self._extended(frame)
        self._put(self._placed)

    def compute(self) -> None:
        """Run on the frame that was placed, and leave the result on the device.

        Raises:
            InputError: no frame was placed.
        """
        if self._placed is None:
            raise InputError("this session has no frame yet", "Call place(frame) first.")
        self._compute(self._placed)

    def run_yuv420(self, frame: Yuv420, output: Yuv420, rows: tuple[int, int] | None = None) -> None:
        """Upscale a video frame of the bound size into the memory of `output`, where the runtime `takes_yuv420`.

        Args:
            frame: luma of the bound size, and chroma.
            output: `scale` times as large; without chroma, only luma is computed.
            rows: begin and end of the input rows whose result is computed, even numbers; None: all.

        Raises:
            InputError: a frame has another size or an unknown kind of colour.
            Unavailable: this runtime takes frames of the artifact's port only.
        """
        raise Unavailable("this runtime does not take video frames", "Convert them to the artifact's input.")

    def stages(self) -> Stages | None:
        """Device times of the last frame; None where frames are not copied to a device and back."""
        return None

    def layer_times(self, frame: Frame, frames: int) -> list[LayerTime]:
        """Mean seconds per frame of every layer, from the runtime's own profiler, in a separate session where possible.

        Args:
            frame: as for `run`.
            frames: how many to average over, after one that warms up.

        Raises:
            Unavailable: the runtime has no profiler.
        """
        raise Unavailable("this runtime does not report times of layers")

    def _accept(self, frame: Frame) -> Shape:
        """Check a frame, and return the bound size."""
        port, shape = self.contract.input, self._shape
        if shape is None:
            raise InputError("this session has no size yet", "Call bind(shape) first.")
        wanted = port.frame_shape(shape)
        if frame.shape != wanted or frame.dtype != np.dtype(port.dtype):
            raise InputError(f"a frame is {frame.dtype} {frame.shape}, the session takes {port.dtype} {wanted}")
        return shape

    def _extended(self, frame: Frame) -> Frame:
        """The frame as a contiguous array of a size that the graph takes."""
        if self._rows is None or self._columns is None:
            return np.ascontiguousarray(frame)
        return self.contract.input.taken(frame, self._rows, self._columns)

    def _put(self, frame: Frame) -> None:
        """Copy a frame to where the runtime reads its input; a CPU runtime reads every array."""
        self._placed = frame

    def _compute(self, frame: Frame) -> None:
        """Run on the frame that was placed."""
        self._run(frame)

    @abstractmethod
    def executed(self) -> dict[str, Executed]:
        """Device and precision that each node ran with, by node name; empty where the runtime does not report them."""

    @abstractmethod
    def _bind(self, shape: Shape) -> None:
        """Prepare for frames of a size that the graph takes."""

    @abstractmethod
    def _run(self, frame: Frame) -> Frame:
        """Run on a contiguous frame of the size that `_bind` got."""

    def output_frame(self, shape: Shape) -> Frame:
        """An uninitialised array for the result of an input of this size."""
        return self.contract.output.empty(shape.upscaled(self.contract.scale))


class ArtifactSession(Session):
    """A session of an artifact, or of an engine that was built from one."""

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact.manifest.contract, artifact.path)
        self.artifact = artifact


class Runtime(ABC):
    """An inference runtime for ONNX artifacts, and for checkpoints where `runs_checkpoints`.

    A subclass sets `name` and `description` and implements `_probe` and `_load`. To use it in every command, a package
    registers the class as an entry point of the group `rt4ksr_toolkit.runtimes`.

    Example:
        >>> runtime: toolkit.Runtime = toolkit.RUNTIMES["ort-cpu"]
        >>> runtime.probe().ok
        True
    """

    name: str
    """As on the command line: lower case, digits and hyphens."""
    description: str
    """One line for `toolkit doctor`."""
    runs_checkpoints: ClassVar[bool] = False
    runs_graph: ClassVar[bool] = True
    """Whether it runs the ONNX graph of an artifact, rather than the toolkit's network code with its weights."""
    takes_yuv420: ClassVar[bool] = False
    """Whether its sessions take video frames, of artifacts that take three colours."""
    on_gpu: ClassVar[bool] = False
    """Whether it runs networks on an NVIDIA GPU, and nothing of them on the CPU."""
    rehearsed: ClassVar[bool] = False
    """Whether artifacts that were not written here are first loaded in a separate process: where a native library reads
    the graph, and loads it in seconds."""
    rehearsal_seconds: ClassVar[float] = SECONDS

    @final
    def probe(self) -> Availability:
        """Whether it works on this machine. Never raises, and uses no device that may be absent."""
        try:
            return self._probe()
        except Exception as error:  # noqa: BLE001  (a runtime of another package may raise anything)
            return Availability(False, f"its probe failed: {first_line(error)}")

    @abstractmethod
    def _probe(self) -> Availability:
        """See `probe`. An exception makes the runtime unavailable, with its first line as the reason."""

    def refusal(self, artifact: Artifact, precision: Precision) -> str:
        """Why it cannot run this artifact in this precision; empty when it can."""
        given = artifact.manifest.precision
        return "" if given == precision else f"the artifact is {given}, and a precision is a property of the artifact"

    def load(
        self, artifact: Artifact, options: SessionOptions = SessionOptions(), precision: Precision | None = None
    ) -> Session:
        """A session for an artifact. There is no fallback to another runtime, device or precision.

        Args:
            artifact: what to run.
            options: how to run it.
            precision: to run it in; None: its own.

        Raises:
            Unavailable: the runtime does not work here, or cannot run this precision.
            ArtifactError: the runtime cannot read the graph, or crashed when a separate process loaded it.
        """
        require(self.name, self.probe())
        precision = precision or artifact.manifest.precision
        if refusal := self.refusal(artifact, precision):
            raise Unavailable(f"{self.name} cannot run {artifact.manifest.name} in {precision}: {refusal}")
        self.rehearse(artifact)
        with foreign(f"{self.name} cannot load {artifact.path}"):
            return self._load(artifact, precision, options)

    def load_checkpoint(self, checkpoint: Checkpoint, options: SessionOptions) -> Session:
        """A session for a network that was not exported: float32 NCHW, RGB 0..1.

        Raises:
            InputError: the runtime does not run checkpoints.
            Unavailable: the runtime does not work here.
        """
        raise InputError(f"{self.name} does not run checkpoints", "Export it first: `toolkit export`.")

    def avoided_multiply_adds(self, artifact: Artifact, shape: Shape) -> int:
        """How many of a graph's multiply-adds for a frame it does without, by computing convolutions in another way."""
        return 0

    def rehearse(self, artifact: Artifact) -> None:
        """Load an artifact in a separate process first, where this runtime is `rehearsed`; see `rehearsal.rehearse`."""
        if self.rehearsed:
            manifest = artifact.manifest
            rehearse(
                self.name, self.probe().version, artifact.path, manifest, manifest.onnx_sha256, self.rehearsal_seconds
            )

    @abstractmethod
    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        """A session for an artifact that was not refused."""
