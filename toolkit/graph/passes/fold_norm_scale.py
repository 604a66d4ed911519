"""Moves the scale of a LayerNorm into the weights of the convolutions that read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.editing import remove_unused_nodes, replace_constant
from toolkit.graph.matching import constant, consumers, per_channel, producer, read_only_by
from toolkit.graph.passes.base import GraphPass

LARGEST_SHIFT = 1e4
"""bias/scale beyond this would leave the range of half precision in a later rewrite."""


class FoldNormScale(GraphPass):
    """conv(w * n + b) becomes conv'(n + b/w) with conv' = conv scaled by w per input channel.

    The shift must stay before the convolution: at the border the convolution sees zero, not the shift.

    Requires: nothing. A norm is refused where w is 0 (or b/w very large), or where something else reads it too.
    Ensures: no scale is left except those of norms that were refused.
    """

    title = "norm scale into the next conv"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        folded = [shift for shift in _adds(model) if self._fold(model, shift)]
        return ir.passes.PassResult(model, modified=bool(folded))

    def ensures(self, model: ir.Model) -> None:
        for shift in _adds(model):
            shifting = per_channel(shift)
            scaling = None if shifting is None else producer(shifting.tensor, "Mul")
            if scaling is not None and per_channel(scaling) is not None and shift.name not in self.refused:
                raise ir.passes.PostconditionError(f"{scaling.name} is left without a reason; {self.refusals}")

    def _fold(self, model: ir.Model, shift: ir.Node) -> bool:
        match = self._match(shift)
        if match is None:
            return False
        for conv in match.convs:
            weight = constant(conv.inputs[1])
            if weight is not None:
                # A depthwise weight has its channels in front.
                per_input = (-1, 1, 1, 1) if conv.attributes.get_int("group", 1) > 1 else (1, -1, 1, 1)
                folded = weight.astype(np.float64) * match.scale.reshape(per_input)
                replace_constant(model, conv, 1, folded.astype(weight.dtype), f"{conv.name}.weight")
        norm = (shift.name or "").rpartition(".")[0]
        shift.replace_input_with(1 - match.bias_index, match.normalised)
        shifted = (match.bias / match.scale).astype(match.dtype).reshape(-1, 1, 1)
        replace_constant(model, shift, match.bias_index, shifted, f"{norm}.shift")
        remove_unused_nodes(model)
        return True

    def _match(self, shift: ir.Node) -> _Norm | None:
        shifting = per_channel(shift)
        scaling = None if shifting is None else producer(shifting.tensor, "Mul")
        scaled = None if scaling is None else per_channel(scaling)
        convs = consumers(shift.outputs[0])
        if shifting is None or scaling is None or scaled is None or not convs:
            return None  # an addition of something else
        bias, scale = shifting.values, scaled.values
        if not read_only_by(scaling.outputs[0], [shift]) or shift.outputs[0].is_graph_output():
            self.refuse(shift, "others read it too")
            return None
        if other := next((node for node in convs if not _scalable(node, scale.size)), None):
            self.refuse(shift, f"{other.name} cannot take the scale")
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            fits = np.abs(bias / scale) <= LARGEST_SHIFT
        if not fits.all():
            self.refuse(shift, f"channel {int(np.argmin(fits))} has scale ~0")
            return None
        stored = constant(shift.inputs[shifting.index])
        assert stored is not None  # noqa: S101  (per_channel found it)
        return _Norm(scaled.tensor, scale, bias, shifting.index, stored.dtype, convs)


@dataclass(frozen=True)
class _Norm:
    """The end of a LayerNorm: scale and bias (C,), stored as `dtype`, and the convolutions that read the result."""

    normalised: ir.Value
    scale: NDArray[np.float64]
    bias: NDArray[np.float64]
    bias_index: int
    dtype: np.dtype[Any]
    convs: list[ir.Node]


def _adds(model: ir.Model) -> list[ir.Node]:
    return [node for node in model.graph if node.op_type == "Add"]


def _scalable(conv: ir.Node, channels: int) -> bool:
    weight = constant(conv.inputs[1]) if conv.op_type == "Conv" else None
    if weight is None:
        return False
    groups = conv.attributes.get_int("group", 1)
    return (groups, weight.shape[1]) == (1, channels) or (groups, len(weight)) == (channels, channels)
