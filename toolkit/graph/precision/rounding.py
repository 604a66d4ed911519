"""bf16 weights whose rounding errors make up for one another, instead of each weight's nearest bf16 number.

A convolution's output is a sum, and what rounding one weight adds to it, the weights after it can largely take off
again, because neighbouring pixels and channels resemble each other. How much they do is measured on calibration images
(the method of GPTQ, Frantar et al., ICLR 2023). Layers are rounded one after the other, each against what it should
have made of the image, so that later ones also make up for earlier ones.
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
"""Pixels an image that errors are measured at."""

_DAMPING = 1e-4
"""Of the mean square of what a convolution reads: how firmly weights are held to their old values."""


@dataclass(frozen=True)
class _Conv:
    """A convolution whose weights are to be rounded."""

    node: onnx.NodeProto
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class RoundedWeights:
    """A float32 graph, and what its convolutions' weights and biases become in bf16.

    Attributes:
        model: the graph.
        rounded: the same with bf16 numbers, still float32.
    """

    model: onnx.ModelProto
    rounded: onnx.ModelProto

    def keeping(self, kept: Kept) -> onnx.ModelProto:
        """With rounded weights in all convolutions but those that are kept."""
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
    """The float32 graph with weights and biases of dense convolutions replaced by bf16 numbers, still float32.

    Args:
        model: takes any size; nothing in it is lowered yet.
        port: its input.
        images: frames to measure on, as the port says.
        kept: names of nodes that will stay in float32.

    Raises:
        InputError: there is no image.
    """
    if not images:
        raise InputError("weights are rounded by what they do to images, and there is none", "Name some.")
    rounded = copied(model)
    _round_inputs(rounded, kept)
    for conv in list(_dense(model, kept)):
        error = _Error.measured(conv, model, rounded, port, images)
        if not np.isfinite(error.inputs).all() or not np.isfinite(error.missing).all():
            continue  # what leaves float32's range in the network is no matter of rounding
        weight, bias = error.rounded(conv)
        for index, array in ((1, weight), (2, bias)):
            _replace(rounded, conv.node, index, array)
    return RoundedWeights(model, rounded).keeping(kept)


@dataclass(frozen=True)
class _Error:
    """What is known of a convolution's inputs and of what is missing from its outputs.

    Attributes:
        inputs: (K, K) mean products of what it reads, K = 1 + I·KY·KX: first the 1 that the bias is multiplied with.
        missing: (O, K) mean products of what is missing from its outputs and what it reads.
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
    ) -> _Error:
        """Of the convolution with its old weights, reading what rounded layers before it make."""
        random = np.random.default_rng(0)
        reads = next(node for node in rounded.graph.node if node.name == conv.node.name).input[0]
        inputs, outputs = tensor_function(rounded, reads), tensor_function(exact, conv.node.output[0])
        size = 1 + conv.weight[0].size
        products, missing, count = np.zeros((size, size)), np.zeros((len(conv.weight), size)), 0
        flat = np.concatenate([conv.bias[:, None], conv.weight.reshape(len(conv.weight), -1)], 1).astype(np.float64)
        for image in images:
            patches, wanted = _samples(conv, inputs(image, port), outputs(image, port), random)
            products += patches.T @ patches
            missing += (wanted - patches @ flat.T).T @ patches
            count += len(patches)
        return cls(products / count, missing / count)

    def rounded(self, conv: _Conv) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights and biases as bf16 numbers."""
        size = len(self.inputs)
        held = self.inputs + _DAMPING * np.trace(self.inputs) / size * np.eye(size)
        flat = np.concatenate([conv.bias[:, None], conv.weight.reshape(len(conv.weight), -1)], 1).astype(np.float64)
        flat += np.linalg.solve(held, self.missing.T).T
        spread = np.linalg.cholesky(np.linalg.inv(held)).T
        for index in range(size):
            nearest = _nearest(flat[:, index])
            error = (flat[:, index] - nearest) / spread[index, index]
            flat[:, index:] -= error[:, None] * spread[index, index:]
            flat[:, index] = nearest
        return flat[:, 1:].reshape(conv.weight.shape).astype(np.float32), flat[:, 0].astype(np.float32)


def _nearest(values: Doubles) -> Doubles:
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
    """What the convolution reads at some pixels, (N, K), and what it should make of it there, (N, O)."""
    attributes: dict[str, Any] = {item.name: helper.get_attribute_value(item) for item in conv.node.attribute}
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    stride = attributes.get("strides", [1, 1])[0]
    padded = np.pad(inputs[0], ((0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(padded, conv.weight.shape[2:], (1, 2))[:, ::stride, ::stride]
    height, width = outputs.shape[2:]
    chosen = random.choice(height * width, min(_POSITIONS, height * width), replace=False)
    rows, columns = np.unravel_index(chosen, (height, width))
    patches = windows[:, rows, columns].transpose(1, 0, 2, 3).reshape(len(chosen), -1).astype(np.float64)
    return np.concatenate([np.ones((len(chosen), 1)), patches], 1), outputs[0][:, rows, columns].T.astype(np.float64)


def _round_inputs(model: onnx.ModelProto, kept: Kept) -> None:
    """Convolutions read bf16, in float32."""
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Conv" and not kept(node.name):
            low, high = f"{node.name}.input.low", f"{node.name}.input.rounded"
            nodes.append(helper.make_node("Cast", [node.input[0]], [low], name=low, to=TensorProto.BFLOAT16))
            nodes.append(helper.make_node("Cast", [low], [high], name=high, to=TensorProto.FLOAT))
            node.input[0] = high
        nodes.append(node)
    replace_nodes(model, nodes)


def _replace(model: onnx.ModelProto, conv: onnx.NodeProto, index: int, array: NDArray[np.float32]) -> None:
    """New weights or biases for a convolution and those that share the old ones."""
    name = f"{conv.input[index]}.rounded"
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1].removesuffix(".rounded") == conv.input[1]:
            node.input[index] = name
