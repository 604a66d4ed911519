"""What every runtime offers, and what all sessions have in common."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np

from toolkit.artifact import Artifact, Contract, Precision
from toolkit.errors import InputError, Unavailable
from toolkit.graph.reading import SECONDS
from toolkit.port import Frame
from toolkit.runtimes.rehearsal import rehearse
from toolkit.sizes import reflected_indices
from toolkit.system.foreign import foreign
from toolkit.system.hardware import usable_cpus
from toolkit.workloads import Shape

if TYPE_CHECKING:
    from toolkit.network.checkpoint import Checkpoint


@dataclass(frozen=True)
class Availability:
    """Whether a runtime works on this machine and, if not, why and what would make it work."""

    ok: bool
    reason: str = ""
    remedy: str = ""
    version: str = ""


@dataclass(frozen=True)
class Executed:
    """Where and in which precision a node really ran, as the runtime itself tells."""

    precision: str
    device: str


class Stages(msgspec.Struct, frozen=True):
    """Device seconds of one frame: to the device, the network, and back."""

    upload: float
    compute: float
    download: float


class LayerTime(msgspec.Struct, frozen=True):
    """Seconds of one frame that a layer took, by the runtime's own name and kind of it. `nodes` are the nodes of the
    ONNX graph that it stands for: one, or several that were fused, or none that could be found."""

    name: str
    kind: str
    seconds: float
    nodes: tuple[str, ...] = ()


MOST_THREADS = 512
"""More than any machine this is for has processors; runtimes start as many as they are told, and choke on them."""


@dataclass(frozen=True)
class SessionOptions:
    """How to run.

    Attributes:
        threads: processor threads of the runtime; default: all that this process may use.

    Raises:
        InputError: a number of threads that is none, or beyond all machines.
    """

    threads: int = 0

    def __post_init__(self) -> None:
        check_threads(self.threads)

    def resolved_threads(self) -> int:
        return self.threads or usable_cpus()


def check_threads(threads: int) -> None:
    """Raise InputError if it is no number of threads to ask for."""
    if not 0 <= threads <= MOST_THREADS:
        raise InputError(f"threads {threads} must be 0 (all usable) to {MOST_THREADS}")


class Session(ABC):
    """A loaded network. `bind` a size once, then `run` frames of it.

    Frames of a size that the graph does not take, such as an odd one, are extended by reflection, and the result is
    cropped, exactly as the PyTorch network does.
    Arrays returned by `run` are reused by the next call.
    """

    extends_fixed_sizes: ClassVar[bool] = True
    """Whether `_run` takes frames of a static artifact's odd size, as its graph does, and not extended ones."""

    def __init__(self, contract: Contract, where: object = "") -> None:
        """`where`: the file that was loaded, for error messages; default: the name in the contract."""
        self.contract = contract
        self._where = str(where) or contract.name
        self._shape: Shape | None = None
        self._rows: list[int] | None = None
        self._columns: list[int] | None = None
        self._placed: Frame | None = None

    def bind(self, shape: Shape) -> None:
        """Prepare for frames of this size.

        Raises:
            InputError: the artifact is static and has another size.
            ArtifactError: the runtime cannot run the graph at this size.
        """
        if min(shape.sides) < 1:
            raise InputError(f"{shape} is no size")
        fixed = self.contract.fixed
        if fixed is not None and fixed != shape:
            raise InputError(f"{self.contract.name} is made for {fixed}, not {shape}", "Export without --shape.")
        inner = self.contract.sizes.extended(shape)
        if fixed and self.extends_fixed_sizes:
            inner = shape
        self._rows = reflected_indices(shape.height, inner.height) if inner != shape else None
        self._columns = reflected_indices(shape.width, inner.width) if inner != shape else None
        with foreign(f"{self._where} cannot run at {shape}"):
            self._bind(inner)
        self._shape = shape

    def run(self, frame: Frame) -> Frame:
        """Upscale one frame of the bound size, in the artifact's layout and type.

        Raises:
            InputError: the frame has another size or type than what was bound.
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
        """Put a frame where the runtime wants its input, for `compute`.

        Raises:
            InputError: as `run`.
        """
        self._accept(frame)
        self._placed = self._extended(frame)
        self._put(self._placed)

    def compute(self) -> None:
        """Run on the frame that was placed, and leave the result where the runtime has it.

        Raises:
            InputError: there is none.
        """
        if self._placed is None:
            raise InputError("this session has no frame yet", "Call place(frame) first.")
        self._compute(self._placed)

    def stages(self) -> Stages | None:
        """Of the last frame that was run; None where frames are not copied to a device and back."""
        return None

    def layer_times(self, frame: Frame, frames: int) -> list[LayerTime]:
        """Mean seconds of every layer over some frames, from the runtime's own profiler, in a session of its own.

        Raises:
            Unavailable: the runtime has none.
        """
        raise Unavailable("this runtime tells no times by layer")

    def _accept(self, frame: Frame) -> Shape:
        """The bound size, if the frame has it."""
        port, shape = self.contract.input, self._shape
        if shape is None:
            raise InputError("this session has no size yet", "Call bind(shape) first.")
        wanted = port.frame_shape(shape)
        if frame.shape != wanted or frame.dtype != np.dtype(port.dtype):
            raise InputError(f"a frame is {frame.dtype} {frame.shape}, the session takes {port.dtype} {wanted}")
        return shape

    def _extended(self, frame: Frame) -> Frame:
        """Contiguous, of a size the graph takes."""
        if self._rows is None or self._columns is None:
            return np.ascontiguousarray(frame)
        return self.contract.input.taken(frame, self._rows, self._columns)

    def _put(self, frame: Frame) -> None:
        """Put it where the runtime wants it: on a processor every array is in its place."""
        self._placed = frame

    def _compute(self, frame: Frame) -> None:
        """Run on a frame that was placed."""
        self._run(frame)

    @abstractmethod
    def executed(self) -> dict[str, Executed]:
        """Per node: device and precision that it ran with."""

    @abstractmethod
    def _bind(self, shape: Shape) -> None:
        """Prepare for frames of a size the graph takes."""

    @abstractmethod
    def _run(self, frame: Frame) -> Frame:
        """Run on a contiguous frame of the size given to `_bind`."""

    def output_frame(self, shape: Shape) -> Frame:
        """An empty frame for the result of an input of this size."""
        return self.contract.output.empty(shape.upscaled(self.contract.scale))


class ArtifactSession(Session):
    """A session of an artifact, or of an engine that was built from one."""

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact.manifest.contract, artifact.path)
        self.artifact = artifact


class Runtime(ABC):
    """A way to run artifacts, and checkpoints where `runs_checkpoints`."""

    name: ClassVar[str]
    description: ClassVar[str]
    runs_checkpoints: ClassVar[bool] = False
    rehearsed: ClassVar[bool] = False
    """Whether artifacts that were not written here are loaded in a process of their own first: where a native library
    reads the graph, and does so in seconds."""
    rehearsal_seconds: ClassVar[float] = SECONDS

    @abstractmethod
    def probe(self) -> Availability:
        """Whether it works here. Never raises, and never touches a device it cannot prove is there."""

    def refusal(self, artifact: Artifact, precision: Precision) -> str:
        """Why it cannot run this artifact in this precision; empty when it can."""
        given = artifact.manifest.precision
        return "" if given == precision else f"the artifact is {given}, and a precision is a property of the artifact"

    def load(
        self, artifact: Artifact, options: SessionOptions = SessionOptions(), precision: Precision | None = None
    ) -> Session:
        """A session for `artifact`, in its own precision unless told otherwise.

        Raises:
            Unavailable: the runtime does not work here, or cannot run this precision. There is no fallback.
            ArtifactError: the runtime cannot read the graph, or crashed when it was rehearsed.
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

    def rehearse(self, artifact: Artifact) -> None:
        """See `rehearsal.rehearse`; nothing for runtimes that are not `rehearsed`."""
        if self.rehearsed:
            manifest = artifact.manifest
            rehearse(
                self.name, self.probe().version, artifact.path, manifest, manifest.onnx_sha256, self.rehearsal_seconds
            )

    @abstractmethod
    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        """A session for an artifact that was not refused."""


def probe_import(module: str, remedy: str) -> Availability:
    """Whether a package can be imported; whatever goes wrong on the way becomes the reason."""
    try:
        importlib.import_module(module)
    except Exception as error:  # noqa: BLE001  (a broken native library raises anything)
        return Availability(False, f"{module} cannot be imported: {error}", remedy)
    return Availability(True)


def require(what: str, available: Availability) -> None:
    """Raise `Unavailable` with the reason and remedy, if it is not available."""
    if not available.ok:
        raise Unavailable(f"{what} is not available: {available.reason}", available.remedy)


def short_precision(dtype: str) -> str:
    """`torch.float16`, `f16`, `FP16`, `tensor(float16)` and the like by one name: fp32, fp16, bf16, int8, uint8, ..."""
    name = dtype.lower().removeprefix("torch.").removeprefix("tensor(").rstrip(")")
    aliases = {
        "float": "fp32",
        "float32": "fp32",
        "f32": "fp32",
        "float16": "fp16",
        "f16": "fp16",
        "half": "fp16",
        "bfloat16": "bf16",
        "i8": "int8",
        "u8": "uint8",
    }
    return aliases.get(name, name)
