"""What a low-precision convolution makes, without its mean: small numbers lose little when they are rounded."""

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
    """conv(x) + b becomes (conv(x) + b') + m in float32, b' being b - m in the target's numbers and m + b' exactly b.

    Of convolutions that will be lowered and that only nodes read which stay in float32.

    Requires: biases are constant. Ensures: nothing; `means` of what is no longer there have no effect.

    Attributes:
        means: (C,) of what convolutions make, by their names.
        added: names of the nodes that add them, which must stay in float32.
    """

    title = "outputs of convolutions centred"

    def __init__(self, means: Mapping[str, NDArray[np.float64]], kept: Kept, target: np.dtype[Any]) -> None:
        super().__init__()
        self.means, self._kept, self._target = means, kept, target
        self.added: set[str] = set()

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        for conv in list(model.graph):
            if conv.name in self.means and self._pays(conv):
                self._centre(model, conv, self.means[str(conv.name)])
        return ir.passes.PassResult(model, modified=bool(self.added))

    def _pays(self, conv: ir.Node) -> bool:
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
            return  # beyond the target's range with or without its mean
        replace_constant(model, conv, 2, left, f"{conv.name}.bias.centred")
        name = f"{conv.name}.mean"
        added = (bias.astype(np.float64) - left).astype(np.float32).reshape(-1, 1, 1)
        add = named_node("Add", [made, add_constant(model, f"{name}.value", added)], name)
        result = insert_between(model, made, [add])
        result.name, made.name = made.name, f"{made.name}.centred"
        result.type, result.shape = made.type, made.shape
        self.added.add(name)


def output_means(model: onnx.ModelProto, port: Port, images: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """Of what every convolution with a bias makes: the mean of each channel, (C,), by the convolution's name.

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
