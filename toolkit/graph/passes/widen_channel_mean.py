"""Writes means over channels as means over batch and channels, for converters that lose a single axis."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.graph.analysis.shapes import TensorInfo, inferred_tensors
from toolkit.graph.editing import add_constant, remove_unused_nodes
from toolkit.graph.matching import constant, is_channel_mean
from toolkit.graph.passes.base import GraphPass

_AXES = [0, 1]
_NAME = "shared.batch_and_channels"


class WidenChannelMean(GraphPass):
    """ReduceMean with axes [1] becomes one with axes [0, 1], which is the same mean for one image.

    pnnx reads a list of one axis as a number, and writes an ncnn network that averages over no axis at all, without an
    error. It reads a list of two. ONNX Runtime, OpenVINO and the native engine run both forms equally fast.

    Requires: nothing; a mean is rewritten where the tensor has four dimensions and batch 1.
    Ensures: no mean of such a tensor has the single axis 1.
    """

    title = "channel means over batch and channels"

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        means = _narrow_means(model)
        if means:
            axes = add_constant(model, _NAME, np.array(_AXES, np.int64))
            for mean in means:
                mean.replace_input_with(1, axes)
            remove_unused_nodes(model)
        return ir.passes.PassResult(model, modified=bool(means))

    def ensures(self, model: ir.Model) -> None:
        if left := [node.name for node in _narrow_means(model)]:
            raise ir.passes.PostconditionError(f"these are still means over one axis: {left}")


def _narrow_means(model: ir.Model) -> list[ir.Node]:
    """Means over channels that have one axis, and could have two."""
    means = [node for node in model.graph if is_channel_mean(node) and len(node.inputs) > 1]
    narrow = [node for node in means if np.size(constant(node.inputs[1])) == 1]  # type: ignore[arg-type]
    tensors = inferred_tensors(ir.to_proto(model)) if narrow else {}
    return [node for node in narrow if _takes_one_image(node, tensors)]


def _takes_one_image(mean: ir.Node, tensors: dict[str, TensorInfo]) -> bool:
    given = mean.inputs[0]
    known = None if given is None or given.name is None else tensors.get(given.name)
    return known is not None and known.sides is not None and len(known.sides) == 4 and known.sides[0] == 1
