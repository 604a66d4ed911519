"""fp16: 11 significant bits, and a range that ends at 65504."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from toolkit.artifact import Manifest
from toolkit.checks import Limits
from toolkit.graph.precision.base import Bounds, Prepared, TargetPrecision
from toolkit.graph.precision.options import FLOAT_OPTIONS, ConvertOptions

if TYPE_CHECKING:
    import onnx


class Float16(TargetPrecision):
    """IEEE binary16. Rounding to nearest is precise enough, once the outputs of convolutions are centred."""

    name = "fp16"
    storage = "float16"
    onnx_type = "FLOAT16"
    runtime_names = frozenset({"float16", "f16", "half"})
    cpu_flags = frozenset({"avx512_fp16", "amx_fp16", "asimdhp"})
    openvino_hint = "f16"
    budget = Limits(mean=0.01, worst_image=0.03, worst_patch=0.6)
    bounds = Bounds(largest=0.03, mean=0.005)
    options = FLOAT_OPTIONS
    remedy = "Keep the nodes that lose it in float32: --keep-fp32 (see `toolkit tune`)."

    def prepare(self, model: onnx.ModelProto, manifest: Manifest, options: ConvertOptions) -> Prepared:
        from toolkit.graph.precision.fitting import RoundedWeights
        from toolkit.graph.precision.floats import PreparedFloats, calibration_frames

        frames = calibration_frames(manifest)
        return PreparedFloats.of(self, manifest, RoundedWeights(model, model), frames)

    def keeping(self, options: ConvertOptions, nodes: Sequence[str]) -> ConvertOptions:
        return replace(options, keep_fp32=tuple(nodes))

    def calibration(self, options: ConvertOptions) -> str:
        return "images of the toolkit, outputs centred where only float32 reads them"
