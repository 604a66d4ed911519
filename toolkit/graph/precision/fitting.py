"""Convolutions whose weights are fitted to what they compute from rounded inputs: what all precisions share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolkit.graph.editing import copied
from toolkit.graph.precision.keeping import Kept

Doubles = NDArray[np.float64]

_POSITIONS = 8192
"""Pixels per image that errors are measured at. More do not change the result visibly, and cost time."""

_MOST = 1 << 16
"""Positions on all images together, where they are kept at the same time: several hundred values each."""

_DAMPING = 1e-4
"""Share of the mean square of a that is added to the diagonal of H. It keeps H invertible where channels are constant
or equal, and keeps weights that the images say little about close to their old values."""


@dataclass(frozen=True)
class DenseConv:
    """A convolution whose weights are to be rounded: weight (O, I, KY, KX), bias (O,)."""

    node: onnx.NodeProto
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def shared(self) -> str:
        """Name of the weight tensor, which other convolutions may read too."""
        return str(self.node.input[1])

    @property
    def flat(self) -> Doubles:
        """W, (O, K): the bias, then the weights in the order in which `samples` reads their inputs."""
        rows = len(self.weight)
        return np.concatenate([self.bias[:, None], self.weight.reshape(rows, -1)], 1).astype(np.float64)


@dataclass(frozen=True)
class RoundedWeights:
    """A float32 graph, and the same graph with the weights and biases that its convolutions get when they are lowered.

    Attributes:
        model: the graph.
        rounded: the graph with rounded weights, stored as float32.
    """

    model: onnx.ModelProto
    rounded: onnx.ModelProto

    def keeping(self, kept: Kept) -> onnx.ModelProto:
        """The graph with rounded weights in all convolutions except those that stay in float32."""
        made = copied(self.model)
        new = {tensor.name: tensor for tensor in self.rounded.graph.initializer}
        inputs = {node.name: list(node.input) for node in self.rounded.graph.node if node.op_type == "Conv"}
        for node in made.graph.node:
            if node.op_type == "Conv" and not kept(node.name):
                node.input[1:] = inputs[node.name][1:]
        used = {name for node in made.graph.node for name in node.input}
        present = {tensor.name for tensor in made.graph.initializer}
        made.graph.initializer.extend(new[name] for name in sorted(used & new.keys() - present))
        unused = [tensor for tensor in made.graph.initializer if tensor.name not in used]
        for tensor in unused:
            made.graph.initializer.remove(tensor)
        return made


def dense_convs(model: onnx.ModelProto, kept: Kept = lambda _: False) -> Iterator[DenseConv]:
    """Convolutions to round, in the order in which they are computed. Of several that share weights, the first."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    seen: set[str] = set()
    for node in model.graph.node:
        given = [constants.get(name) for name in node.input[1:3]]
        if node.op_type != "Conv" or kept(node.name) or len(given) < 2 or None in given or node.input[1] in seen:
            continue
        weight, bias = (numpy_helper.to_array(tensor) for tensor in given if tensor is not None)
        group = next((item.i for item in node.attribute if item.name == "group"), 1)
        if group == 1 and weight.dtype == np.float32:
            seen.add(node.input[1])
            yield DenseConv(node, weight, bias)


def samples(
    conv: DenseConv, inputs: NDArray[Any], outputs: NDArray[Any], random: np.random.Generator, images: int = 1
) -> tuple[Doubles, Doubles]:
    """What the convolution reads (a, (N, K)), and what it should compute (y, (N, O)), at N random pixels: fewer where
    there are many images."""
    attributes: dict[str, Any] = {item.name: helper.get_attribute_value(item) for item in conv.node.attribute}
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    stride = attributes.get("strides", [1, 1])[0]
    padded = np.pad(inputs[0], ((0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(padded, conv.weight.shape[2:], (1, 2))[:, ::stride, ::stride]
    height, width = outputs.shape[2:]
    # Inputs and outputs at the same pixels; a subset, as the windows of all pixels are KY * KX copies of the image.
    chosen = random.choice(height * width, min(_POSITIONS, _MOST // images, height * width), replace=False)
    rows, columns = np.unravel_index(chosen, (height, width))
    patches = windows[:, rows, columns].transpose(1, 0, 2, 3).reshape(len(chosen), -1).astype(np.float64)
    return np.concatenate([np.ones((len(chosen), 1)), patches], 1), outputs[0][:, rows, columns].T.astype(np.float64)


def damped(products: Doubles) -> Doubles:
    """H with a damped diagonal. The trace over the size is the mean square of a value in a, so the damping scales with
    the image's range."""
    made: Doubles = products + _DAMPING * np.trace(products) / len(products) * np.eye(len(products))
    return made


def corrected(conv: DenseConv, products: Doubles, missing: Doubles) -> Doubles:
    """The real-valued weights (O, K) that come closest to y given the errors in a: W + missing H^-1.

    Args:
        conv: W.
        products: H = E[a aT], damped.
        missing: E[(y - W a) aT].
    """
    weights: Doubles = conv.flat + np.linalg.solve(products, missing.T).T
    return weights


def rounded_together(weights: Doubles, products: Doubles, nearest: Callable[[int, Doubles], Doubles]) -> Doubles:
    """Rounded weights (O, K) whose errors compensate each other: GPTQ (Frantar et al., ICLR 2023).

    One column after the other is rounded, and the columns after it take the change that minimises the error given the
    columns that are fixed. With the upper Cholesky factor U of H^-1 = UT U, that change for column i is
    -(w_i - q_i) / U_ii * U_i: the row of U already accounts for the columns before i being fixed.

    Args:
        weights: real-valued.
        products: H = E[a aT], damped.
        nearest: a column by its index, and its values (O,), as rounded ones.
    """
    flat, upper = weights.copy(), np.linalg.cholesky(np.linalg.inv(products)).T
    for index in range(len(products)):
        rounded = nearest(index, flat[:, index])
        error = (flat[:, index] - rounded) / upper[index, index]
        flat[:, index:] -= error[:, None] * upper[index, index:]
        flat[:, index] = rounded  # exactly, whatever the subtraction above left in its last digits
    return flat


def give_weights(
    model: onnx.ModelProto, conv: DenseConv, suffix: str, weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> None:
    """Let a convolution read other weights, whose names get the suffix. Convolutions that share weights get the same
    ones: only the first of them was measured."""
    sharing = [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] == conv.shared]
    for index, array in ((1, weight), (2, bias)):
        tensor = f"{conv.node.input[index]}.{suffix}"
        model.graph.initializer.append(numpy_helper.from_array(array, tensor))
        for node in sharing:
            node.input[index] = tensor
