"""int8: convolutions with 8-bit integer activations and weights, everything else in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from toolkit.artifact import Manifest
from toolkit.checks import Limits
from toolkit.graph.precision.base import Bounds, Prepared, TargetPrecision
from toolkit.graph.precision.options import INTEGER_OPTIONS, ConvertOptions

if TYPE_CHECKING:
    import onnx


class Int8(TargetPrecision):
    """Symmetric 8-bit integers with a scale, as QuantizeLinear and DequantizeLinear pairs."""

    name = "int8"
    storage = "int8"
    onnx_type = "INT8"
    floating = False
    runtime_names = frozenset({"i8"})
    budget = Limits(mean=0.10, worst_image=0.30, worst_patch=4.0)
    # A value beyond a calibrated range is cut off, however far beyond it is: only the mean error has a bound.
    bounds = Bounds(largest=None, mean=0.15)
    options = INTEGER_OPTIONS
    convolutions_only = True

    def prepare(self, model: onnx.ModelProto, manifest: Manifest, options: ConvertOptions) -> Prepared:
        from toolkit.graph.precision.integers import PreparedIntegers

        return PreparedIntegers.of(self, model, manifest, options)

    def keeping(self, options: ConvertOptions, nodes: Sequence[str]) -> ConvertOptions:
        return replace(options, exclude=tuple(nodes))

    def calibration(self, options: ConvertOptions) -> str:
        images = "images of the toolkit" if options.calibration is None else f"images of {options.calibration.name}"
        share = f" {options.percentile}" if options.method == "percentile" else ""
        return f"{images}, channels scaled, ranges by {options.method}{share}, weights fitted and rounded together"
