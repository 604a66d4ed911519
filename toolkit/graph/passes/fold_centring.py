"""Where a LayerNorm directly follows a convolution, the convolution can produce centred features itself."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.graph.passes.matching import (
    GraphPass,
    constant,
    consumers,
    producer,
    read_only_by,
    remove_unused_nodes,
    replace_initializer,
)


class FoldCentring(GraphPass):
    """x - mean_over_channels(x) with x = conv(...) becomes one convolution with centred weights and bias.

    Requires: nothing. Only a convolution whose output is read by its norm alone is changed.
    Ensures: no convolution is followed by nothing but a channel mean and its subtraction.
    """

    title = "norm centring into the conv before"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        folded = [node for node in list(model.graph) if node.op_type == "Sub" and _fold(model, node)]
        return ir.passes.PassResult(model, modified=bool(folded))

    def ensures(self, model: ir.Model) -> None:
        for conv in model.graph:
            readers = consumers(conv.outputs[0])
            kinds = sorted(node.op_type for node in readers)
            if conv.op_type == "Conv" and kinds == ["ReduceMean", "Sub"] and not conv.outputs[0].is_graph_output():
                raise ir.passes.PostconditionError(f"{conv.name} is still centred after the fact")


def _fold(model: ir.Model, centring: ir.Node) -> bool:
    conv = _centred_conv(centring)
    if conv is None:
        return False
    for index, leaf in ((1, "weight"), (2, "bias")):
        array = constant(conv.inputs[index])
        assert array is not None  # noqa: S101  (matched)
        exact = array.astype(np.float64)
        centred = (exact - exact.mean(axis=0, keepdims=True)).astype(array.dtype)
        replace_initializer(model, conv, index, centred, f"{conv.name}.{leaf}")
    centring.outputs[0].replace_all_uses_with(conv.outputs[0])
    remove_unused_nodes(model)
    return True


def _centred_conv(centring: ir.Node) -> ir.Node | None:
    conv, mean = producer(centring.inputs[0], "Conv"), producer(centring.inputs[1], "ReduceMean")
    if conv is None or mean is None or mean.inputs[0] is not conv.outputs[0]:
        return None
    axes = constant(mean.inputs[1]) if len(mean.inputs) > 1 else None
    if axes is None or axes.tolist() != [1] or mean.attributes.get_int("keepdims", 1) != 1:
        return None
    constants = len(conv.inputs) == 3 and all(constant(value) is not None for value in conv.inputs[1:])
    return conv if constants and read_only_by(conv.outputs[0], [mean, centring]) else None
