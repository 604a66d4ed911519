"""What the toolkit knows about a precision: the base classes of the objects in float32.py, float16.py and so on.

Adding a precision takes three files: a module with its object, its line in registry.py, and its name in `Precision`
(toolkit/artifact.py). Everything else, runtimes included, asks the object.

These modules are light, because the command line and all runtimes import them: what rewrites graphs is imported by the
methods that do so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.artifact import Manifest
from toolkit.checks import Limits
from toolkit.graph.precision.options import ConvertOptions
from toolkit.manifest_parts import Step
from toolkit.precisions import Precision
from toolkit.system.hardware import instruction_sets

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Bounds:
    """Largest and mean absolute error on probe images, for outputs in 0..1; where outputs exceed that, relative to the
    largest.

    They catch a conversion that broke the function. What a sound conversion costs in quality is measured elsewhere
    (`toolkit.convert`).

    Attributes:
        largest: of any value; None where no bound makes sense.
        mean: over all values.
    """

    largest: float | None
    mean: float


@dataclass(frozen=True)
class Rewritten:
    """A graph in another precision, valid, whose error has not been measured yet.

    Attributes:
        model: the graph.
        step: for the manifest.
        notes: for the manifest: what its users should know, such as weights that left the range of the type.
    """

    model: onnx.ModelProto
    step: Step
    notes: tuple[str, ...]


class Prepared(ABC):
    """What all mixes of a precision and float32 have in common, computed once. `tune` makes dozens of mixes from it."""

    @abstractmethod
    def rewrite(self, options: ConvertOptions) -> Rewritten:
        """The graph in the mix that the options name.

        Raises:
            InputError: an option does not fit the graph.
        """


class PrecisionFormat:
    """A precision that artifacts and runtimes can have.

    Attributes:
        name: in file names, manifests and on the command line.
        storage: its type as NumPy (with ml_dtypes) and PyTorch name it.
        onnx_type: its type as `onnx.TensorProto.DataType` names it.
        floating: whether it is a floating-point type.
        runtime_names: other names that runtimes report it by, in lower case.
        cpu_flags: instruction set extensions (as in /proc/cpuinfo), one of which a CPU must have to compute in it
            instead of converting to and from float32; empty: every CPU does.
        cuda_capability: the first compute capability (major, minor) whose GPUs compute in it.
        openvino_hint: INFERENCE_PRECISION_HINT under which OpenVINO computes a graph in the types that it has.
        budget: what it may cost in quality, where no file says otherwise.
    """

    name: Precision
    storage: str
    onnx_type: str
    floating: bool = True
    runtime_names: frozenset[str] = frozenset()
    cpu_flags: frozenset[str] = frozenset()
    cuda_capability: tuple[int, int] = (0, 0)
    openvino_hint: str = "f32"
    budget: Limits

    def cpu_computes(self) -> bool:
        """Whether this machine's CPU computes in it, instead of converting to and from float32."""
        return not self.cpu_flags or not self.cpu_flags.isdisjoint(instruction_sets())


class TargetPrecision(PrecisionFormat, ABC):
    """A precision that an fp32 artifact can be converted to. Input and output keep their types.

    Attributes:
        bounds: on the error against float64.
        opset: the lowest ONNX opset whose operators take it.
        options: names of the `ConvertOptions` that apply to it.
        convolutions_only: whether all other nodes stay in float32.
        remedy: what to do when the error is beyond the bounds.
    """

    bounds: Bounds
    opset: int = 0
    options: frozenset[str]
    convolutions_only: bool = False
    remedy: str = ""

    @abstractmethod
    def prepare(self, model: onnx.ModelProto, manifest: Manifest, options: ConvertOptions) -> Prepared:
        """Measure what the rewrite needs to know.

        Args:
            model: of an fp32 artifact; it is not changed.
            manifest: of that artifact.
            options: how ranges are calibrated.

        Raises:
            InputError: there are no images to measure on.
            Unavailable: what measures is not installed.
        """

    @abstractmethod
    def keeping(self, options: ConvertOptions, nodes: Sequence[str]) -> ConvertOptions:
        """The same options, with exactly these nodes in float32."""

    @abstractmethod
    def calibration(self, options: ConvertOptions) -> str:
        """For the manifest: what the conversion was measured on, and how."""
