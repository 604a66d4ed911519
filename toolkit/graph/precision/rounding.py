"""bf16 weights whose rounding errors compensate each other, instead of each weight's nearest bf16 value.

A convolution computes y = W a at every pixel: a is 1 (which the bias is multiplied with) followed by the K - 1 values
under the kernel, W is (O, K). The rounding error of one weight can largely be corrected by the weights after it,
because the values in a are correlated: neighbouring pixels and channels are similar. How correlated they are is
measured on calibration images, and this is the error that is minimised, with H = E[a aT]:

    E |W a - Q a|^2  =  sum over outputs of  (w - q) H (w - q)T          W: exact weights, Q: weights that bf16 holds

This is GPTQ (Frantar et al., ICLR 2023), with one difference: a is what the convolution reads in the rounded network,
while y is what it computes in the exact one. Layers are rounded in the order in which they are computed, so each layer
also corrects for the error of the layers before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolkit.errors import InputError
from toolkit.graph.analysis.tensors import tensor_function
from toolkit.graph.editing import copied, replace_nodes
from toolkit.graph.precision.keeping import Kept
from toolkit.port import Port

Doubles = NDArray[np.float64]

_POSITIONS = 8192
"""Pixels per image that errors are measured at. More do not change the result visibly, and cost time."""

_DAMPING = 1e-4
"""Share of the mean square of a that is added to the diagonal of H. It keeps H invertible where channels are constant
or equal, and keeps weights that the images say little about close to their old values."""


@dataclass(frozen=True)
class _Conv:
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
        """W, (O, K): the bias, then the weights in the order in which `_samples` reads their inputs."""
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


def round_weights(
    model: onnx.ModelProto,
    port: Port,
    images: Sequence[NDArray[Any]],
    kept: Kept = lambda _: False,
) -> onnx.ModelProto:
    """The float32 graph with weights and biases of dense convolutions replaced by bf16 values, stored as float32.

    Args:
        model: takes any size; nothing in it is lowered yet.
        port: its input.
        images: frames to measure on, as the port says.
        kept: whether the node of a name will stay in float32.

    Raises:
        InputError: there is no image.
    """
    if not images:
        raise InputError("rounding weights needs images, and none were given", "Give a directory of images.")
    rounded = copied(model)
    _round_inputs(rounded, kept)
    for conv in list(_dense(model, kept)):
        statistics = _Statistics.measured(conv, model, rounded, port, images)
        if not np.isfinite(statistics.inputs).all() or not np.isfinite(statistics.missing).all():
            continue  # the network itself leaves float32's range here, which no rounding repairs
        # Convolutions that share weights are rounded together: only the first one was measured.
        sharing = {node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] == conv.shared}
        weight, bias = statistics.rounded(conv)
        for index, array in ((1, weight), (2, bias)):
            _replace(rounded, sharing, f"{conv.node.input[index]}.rounded", index, array)
    return RoundedWeights(model, rounded).keeping(kept)


@dataclass(frozen=True)
class _Statistics:
    """What rounding a convolution needs to know, in the notation of the module's docstring.

    Attributes:
        inputs: H, (K, K): mean of a aT over all sampled pixels.
        missing: (O, K): mean of (y - W a) aT. It is zero as long as no layer before was rounded.
    """

    inputs: Doubles
    missing: Doubles

    @classmethod
    def measured(
        cls,
        conv: _Conv,
        exact: onnx.ModelProto,
        rounded: onnx.ModelProto,
        port: Port,
        images: Sequence[NDArray[Any]],
    ) -> _Statistics:
        """Measure a convolution with its exact weights: a from the `rounded` graph, y from the `exact` one."""
        random = np.random.default_rng(0)  # the same positions in every run, so that conversion is reproducible
        reads = next(node for node in rounded.graph.node if node.name == conv.node.name).input[0]
        inputs, outputs = tensor_function(rounded, reads), tensor_function(exact, conv.node.output[0])
        flat = conv.flat
        products, missing, count = np.zeros((flat.shape[1],) * 2), np.zeros(flat.shape), 0
        for image in images:
            patches, wanted = _samples(conv, inputs(image, port), outputs(image, port), random)
            # In float64: H is inverted below, which amplifies rounding errors by its condition number.
            products += patches.T @ patches
            missing += (wanted - patches @ flat.T).T @ patches
            count += len(patches)
        return cls(products / count, missing / count)

    def rounded(self, conv: _Conv) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The weights (O, I, KY, KX) and biases (O,) that minimise the error, all of them bf16 values."""
        size = len(self.inputs)
        # The trace over the size is the mean square of a value in a, so the damping scales with the image's range.
        damped = self.inputs + _DAMPING * np.trace(self.inputs) / size * np.eye(size)
        # First the real-valued weights that come closest to y given the errors in a: the least-squares correction of W
        # is missing H^-1. Rounding W itself would keep the errors of the layers before.
        flat = conv.flat + np.linalg.solve(damped, self.missing.T).T
        # Then one column after the other is rounded to nearest, and the columns after it take the change that minimises
        # the error given the columns that are fixed. With the upper Cholesky factor U of H^-1 = UT U, that change for
        # column i is -(w_i - q_i) / U_ii * U_i: the row of U already accounts for the columns before i being fixed.
        upper = np.linalg.cholesky(np.linalg.inv(damped)).T
        for index in range(size):
            nearest = _nearest(flat[:, index])
            error = (flat[:, index] - nearest) / upper[index, index]
            flat[:, index:] -= error[:, None] * upper[index, index:]
            flat[:, index] = nearest  # exactly, whatever the subtraction above left in its last digits
        return flat[:, 1:].reshape(conv.weight.shape).astype(np.float32), flat[:, 0].astype(np.float32)


def _nearest(values: Doubles) -> Doubles:
    """The nearest bf16 value of each."""
    return values.astype(np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def _dense(model: onnx.ModelProto, kept: Kept) -> Iterator[_Conv]:
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
            yield _Conv(node, weight, bias)


def _samples(
    conv: _Conv, inputs: NDArray[Any], outputs: NDArray[Any], random: np.random.Generator
) -> tuple[Doubles, Doubles]:
    """At N random pixels: what the convolution reads (a, (N, K)), and what it should compute (y, (N, O))."""
    attributes: dict[str, Any] = {item.name: helper.get_attribute_value(item) for item in conv.node.attribute}
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    stride = attributes.get("strides", [1, 1])[0]
    padded = np.pad(inputs[0], ((0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(padded, conv.weight.shape[2:], (1, 2))[:, ::stride, ::stride]
    height, width = outputs.shape[2:]
    # Inputs and outputs at the same pixels; a subset, as the windows of all pixels are KY * KX copies of the image.
    chosen = random.choice(height * width, min(_POSITIONS, height * width), replace=False)
    rows, columns = np.unravel_index(chosen, (height, width))
    patches = windows[:, rows, columns].transpose(1, 0, 2, 3).reshape(len(chosen), -1).astype(np.float64)
    return np.concatenate([np.ones((len(chosen), 1)), patches], 1), outputs[0][:, rows, columns].T.astype(np.float64)


def _round_inputs(model: onnx.ModelProto, kept: Kept) -> None:
    """Let convolutions read bf16 values, in a float32 graph, as they will when the graph is lowered."""
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Conv" and not kept(node.name):
            low, high = f"{node.name}.input.low", f"{node.name}.input.rounded"
            nodes.append(helper.make_node("Cast", [node.input[0]], [low], name=low, to=TensorProto.BFLOAT16))
            nodes.append(helper.make_node("Cast", [low], [high], name=high, to=TensorProto.FLOAT))
            node.input[0] = high
        nodes.append(node)
    replace_nodes(model, nodes)


def _replace(model: onnx.ModelProto, nodes: set[str], tensor: str, index: int, array: NDArray[np.float32]) -> None:
    """Add a tensor, and let input `index` of these nodes read it."""
    model.graph.initializer.append(numpy_helper.from_array(array, tensor))
    for node in model.graph.node:
        if node.name in nodes:
            node.input[index] = tensor
