"""Moves the means of what low-precision convolutions compute to nodes in float32.

The output of a convolution is stored in the low precision, and the rounding error of a floating-point number grows with
its magnitude. The channels of these networks vary little around means that are far from zero, so most of the error
comes from the means. Subtracted from the bias of the convolution, and added again in float32, they are not rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.analysis.tensors import tensor_function
from toolkit.graph.editing import add_constant, insert_between, named_node, replace_constant
from toolkit.graph.matching import constant, consumers
from toolkit.graph.passes.base import GraphPass
from toolkit.graph.precision.keeping import Kept
from toolkit.port import Port


class CentreOutputs(GraphPass):
    """conv(x) + b becomes (conv(x) + b') + m, where b' is b - m rounded to the target, and m = b - b' exactly.

    Applied to convolutions that will be lowered and whose output is read only by nodes that stay in float32. If a
    convolution reads it, the addition would be computed in the low precision and gain nothing; besides, the next
    convolution pads with zeros, where there would have to be means.

    Requires: biases are constant.
    Ensures: nothing. Means of convolutions that are not in the graph have no effect.

    Attributes:
        means: (C,) of what a convolution computes, by its name.
        added: names of the nodes that add the means, which must stay in float32.
    """

    title = "outputs of convolutions centred"

    def __init__(self, means: Mapping[str, NDArray[np.float64]], kept: Kept, target: np.dtype[Any]) -> None:
        super().__init__()
        self.means, self._kept, self._target = means, kept, target
        self.added: set[str] = set()

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        for conv in list(model.graph):
            if conv.name in self.means and self._helps(conv):
                self._centre(model, conv, self.means[str(conv.name)])
        return ir.passes.PassResult(model, modified=bool(self.added))

    def _helps(self, conv: ir.Node) -> bool:
        made = conv.outputs[0]
        readers = consumers(made)
        low = not self._kept(str(conv.name)) and all(self._kept(str(node.name)) for node in readers)
        return low and bool(readers) and not made.is_graph_output()

    def _centre(self, model: ir.Model, conv: ir.Node, mean: NDArray[np.float64]) -> None:
        bias, made = constant(conv.inputs[2]), conv.outputs[0]
        if bias is None:
            raise ir.passes.PreconditionError(f"the bias of {conv.name} is not constant")
        with np.errstate(over="ignore", invalid="ignore"):
            left = (bias.astype(np.float64) - mean).astype(self._target).astype(np.float32)
        if not np.isfinite(left).all():
            return  # b - m is beyond the range of the target: the check of the conversion reports it
        replace_constant(model, conv, 2, left, f"{conv.name}.bias.centred")
        name = f"{conv.name}.mean"
        # Not the mean itself: what rounding changed in b' goes into the addition, so that the sum stays exact.
        added = (bias.astype(np.float64) - left).astype(np.float32).reshape(-1, 1, 1)
        add = named_node("Add", [made, add_constant(model, f"{name}.value", added)], name)
        result = insert_between(model, made, [add])
        result.name, made.name = made.name, f"{made.name}.centred"
        result.type, result.shape = made.type, made.shape
        self.added.add(name)


def output_means(model: onnx.ModelProto, port: Port, images: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """The mean of each channel that a convolution with a bias computes, (C,), by the convolution's name.

    Args:
        model: float32, takes any size.
        port: its input.
        images: frames to measure on, as the port says.
    """
    found = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and len(node.input) == 3:
            function = tensor_function(model, node.output[0])
            means = [function(image, port)[0].mean((1, 2), dtype=np.float64) for image in images]
            found[node.name] = np.mean(means, axis=0)
    return found
