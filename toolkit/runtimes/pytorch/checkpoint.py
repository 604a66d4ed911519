"""Sessions of checkpoints, which PyTorch runs without an artifact, and the float64 reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from toolkit.artifact import Artifact, Contract
from toolkit.port import Frame, rgb_port
from toolkit.precisions import Precision
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Runtime, Session
from toolkit.runtimes.reported import Executed
from toolkit.system.probe import Availability, probe_import
from toolkit.workloads import Shape

if TYPE_CHECKING:
    from toolkit.network.checkpoint import Checkpoint


class CheckpointSession(Session):
    """A network as a function of arrays. Frames are float32 NCHW, RGB 0..1."""

    def __init__(self, contract: Contract, function: Callable[[NDArray[Any]], NDArray[Any]], precision: str) -> None:
        super().__init__(contract)
        self._function, self._precision = function, precision

    def executed(self) -> dict[str, Executed]:
        """The network as a whole: PyTorch computes all of it in one type."""
        return {"network": Executed(self._precision, "cpu")}

    def _bind(self, shape: Shape) -> None:
        """Nothing to prepare: PyTorch takes any size."""

    def _run(self, frame: Frame) -> Frame:
        return self._function(frame)


class Float64Runtime(Runtime):
    """The network as trained, computed in float64: the reference of comparisons, and never a product."""

    name = "float64"
    description = "PyTorch in float64, network as trained: the reference, CPU"
    runs_checkpoints: ClassVar[bool] = True
    runs_graph: ClassVar[bool] = False

    def _probe(self) -> Availability:
        return probe_import("torch", "pip install torch")

    def refusal(self, artifact: Artifact, precision: Precision) -> str:
        return "float64 runs checkpoints only"

    def load_checkpoint(self, checkpoint: Checkpoint, options: SessionOptions) -> Session:
        from toolkit.network.module import numpy_function

        function = numpy_function(checkpoint.network, "float64", options.threads)
        return CheckpointSession(checkpoint_contract(checkpoint), function, "fp64")

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        raise NotImplementedError  # every artifact is refused


def checkpoint_contract(checkpoint: Checkpoint) -> Contract:
    """What the network in a checkpoint takes and returns: float32 NCHW, RGB 0..1, any size, not clamped."""
    config = checkpoint.config
    return Contract(checkpoint.file, rgb_port(name="input"), rgb_port(name="output"), config.scale, config.sizes)
