"""Lets a convolution compute features that are centred already, where a LayerNorm follows and centres them first."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.graph.editing import remove_unused_nodes, replace_constant
from toolkit.graph.matching import constant, consumers, is_channel_mean, producer, read_only_by
from toolkit.graph.passes.base import GraphPass


class FoldCentring(GraphPass):
    """x - mean_over_channels(x) with x = conv(...) becomes one convolution with centred weights and bias.

    A mean over output channels is linear, so subtracting it from every filter of the convolution (and from the bias)
    subtracts it from every output: W'[o] = W[o] - mean over o of W[o], and the same for the bias.

    Requires: nothing.
    Ensures: no convolution is followed by nothing but a channel mean and its subtraction.
    """

    title = "norm centring into the conv before"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        folded = [node for node in list(model.graph) if node.op_type == "Sub" and self._fold(model, node)]
        return ir.passes.PassResult(model, modified=bool(folded))

    def ensures(self, model: ir.Model) -> None:
        for conv in model.graph:
            readers = consumers(conv.outputs[0])
            kinds = sorted(node.op_type for node in readers)
            if conv.op_type == "Conv" and kinds == ["ReduceMean", "Sub"] and not conv.outputs[0].is_graph_output():
                raise ir.passes.PostconditionError(f"{conv.name} is still centred after the fact: {self.refusals}")

    def _fold(self, model: ir.Model, centring: ir.Node) -> bool:
        conv, mean = producer(centring.inputs[0], "Conv"), producer(centring.inputs[1], "ReduceMean")
        if conv is None or mean is None or mean.inputs[0] is not conv.outputs[0]:
            return False  # a subtraction of something else
        if reason := _obstacle(conv, mean, centring):
            self.refuse(centring, reason)
            return False
        for index, leaf in ((1, "weight"), (2, "bias")):
            array = constant(conv.inputs[index])
            assert array is not None  # noqa: S101  (matched)
            exact = array.astype(np.float64)
            centred = (exact - exact.mean(axis=0, keepdims=True)).astype(array.dtype)
            replace_constant(model, conv, index, centred, f"{conv.name}.{leaf}")
        centring.outputs[0].replace_all_uses_with(conv.outputs[0])
        remove_unused_nodes(model)
        return True


def _obstacle(conv: ir.Node, mean: ir.Node, centring: ir.Node) -> str:
    """Why the convolution cannot centre its own output; empty when it can."""
    if not is_channel_mean(mean):
        return f"{mean.name} is not a mean over channels"
    if len(conv.inputs) != 3 or any(constant(value) is None for value in conv.inputs[1:]):
        return f"{conv.name} has no constant weight and bias"
    if not read_only_by(conv.outputs[0], [mean, centring]):
        return f"other nodes read {conv.name} as well"
    return ""
