"""bf16: the range of float32 with 8 significant bits, which is too few to round each weight to its nearest value."""

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


class BFloat16(TargetPrecision):
    """Google's bfloat16. Channels are scaled and weights rounded together before the graph is lowered."""

    name = "bf16"
    storage = "bfloat16"
    onnx_type = "BFLOAT16"
    runtime_names = frozenset({"bfloat16"})
    cpu_flags = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
    cuda_capability = (8, 0)
    budget = Limits(mean=0.05, worst_image=0.15, worst_patch=2.0)
    bounds = Bounds(largest=0.2, mean=0.03)
    opset = 22  # the first in which Conv takes bfloat16
    options = FLOAT_OPTIONS
    remedy = "Keep the nodes that lose it in float32: --keep-fp32 (see `toolkit tune`)."

    def prepare(self, model: onnx.ModelProto, manifest: Manifest, options: ConvertOptions) -> Prepared:
        from toolkit.graph.any_size import sizeless
        from toolkit.graph.precision.fitting import RoundedWeights
        from toolkit.graph.precision.floats import PreparedFloats, calibration_frames
        from toolkit.graph.precision.rounding import round_weights
        from toolkit.graph.precision.scaling import ScaleChannels, bf16_factors

        port = manifest.input
        frames = calibration_frames(manifest)
        # Scaling comes first: it moves the values that the rounded weights are fitted to.
        scaled = ScaleChannels(bf16_factors(sizeless(model, manifest), port, frames)).rewritten(model)
        rounded = round_weights(sizeless(scaled, manifest), port, frames)
        return PreparedFloats.of(self, manifest, RoundedWeights(scaled, rounded), frames)

    def keeping(self, options: ConvertOptions, nodes: Sequence[str]) -> ConvertOptions:
        return replace(options, keep_fp32=tuple(nodes))

    def calibration(self, options: ConvertOptions) -> str:
        return (
            "images of the toolkit, outputs centred where only float32 reads them, channels scaled, weights rounded "
            "together"
        )
