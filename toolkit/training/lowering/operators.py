"""ONNX operators as differentiable PyTorch functions, for the operators of super-resolution networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from toolkit.errors import InputError

Operator = Callable[..., Tensor]
"""From the inputs of a node that are tensors, in their order, to its output."""


@dataclass(frozen=True)
class Node:
    """What a node's function depends on besides tensors.

    Attributes:
        name: of the node, for messages.
        operator: as ONNX names it.
        attributes: its attributes, as `onnx.helper.get_attribute_value` reads them.
        constants: inputs that the graph holds as constants, by index.
        inputs: number of its inputs.
    """

    name: str
    operator: str
    attributes: Mapping[str, Any]
    constants: Mapping[int, NDArray[Any]]
    inputs: int

    @classmethod
    def of(cls, node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> Node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        known = {index: constants[name] for index, name in enumerate(node.input) if name in constants}
        return cls(node.name, node.op_type, attributes, known, len([name for name in node.input if name]))

    def refusal(self, reason: str) -> InputError:
        """The error that the node has no differentiable form."""
        return InputError(
            f"node {self.name} ({self.operator}) {reason}: the graph cannot be fine-tuned",
            "Fine-tune networks of convolutions, activations, norms, sums, products and pixel shuffles.",
        )

    def setting(self, name: str, index: int, default: Any = None) -> Any:
        """A list or number that is an attribute in old opsets and a constant input in new ones."""
        if name in self.attributes:
            return self.attributes[name]
        if index in self.constants:
            found = self.constants[index]
            return found.item() if found.ndim == 0 else found.tolist()
        if index < self.inputs:
            raise self.refusal(f"computes its {name}")
        return default

    def text(self, name: str, default: str) -> str:
        """A textual attribute."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)


def is_setting(operator: str, index: int) -> bool:
    """Whether an input of an operator is read when the graph is built, and is no operand of its function."""
    return index >= _FIRST_SETTING.get(operator, 1 << 30)


def operator_of(node: Node) -> Operator:
    """The function of a node.

    Raises:
        InputError: the operator, or the way in which the node uses it, is not supported.
    """
    if (make := _MAKERS.get(node.operator)) is None:
        raise node.refusal("is not differentiable here")
    return make(node)


@dataclass(frozen=True)
class Geometry:
    """How a convolution moves over its input."""

    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilation: tuple[int, int]
    group: int

    @classmethod
    def of(cls, node: Node) -> Geometry:
        """Read it from a Conv node.

        Raises:
            InputError: it has more or fewer than two spatial axes, or padding that depends on the size.
        """
        if node.text("auto_pad", "NOTSET") != "NOTSET":
            raise node.refusal("has auto_pad")
        top, left, bottom, right = node.attributes.get("pads", (0, 0, 0, 0))
        rows, columns = node.attributes.get("strides", (1, 1))
        down, across = node.attributes.get("dilations", (1, 1))
        return cls((rows, columns), (top, left, bottom, right), (down, across), node.attributes.get("group", 1))

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """(N, I, H, W), (O, I / group, KY, KX), (O,) to (N, O, H', W'), padded with zeros."""
        top, left, bottom, right = self.pads
        if (top, left) == (bottom, right):
            return functional.conv2d(x, weight, bias, self.stride, (top, left), self.dilation, self.group)
        x = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(x, weight, bias, self.stride, 0, self.dilation, self.group)


def straight_through(x: Tensor, value: Tensor) -> Tensor:
    """The value, which was made of x by rounding; the gradient is passed on as if nothing was rounded."""
    return x + (value - x).detach()


def rounded(x: Tensor) -> Tensor:
    """The nearest whole numbers, ties to even; for the gradient see `straight_through`."""
    return straight_through(x, x.round())


def _conv(node: Node) -> Operator:
    return Geometry.of(node).convolve


def _clip(node: Node) -> Operator:
    low, high = node.setting("min", 1), node.setting("max", 2)
    return lambda x: x.clamp(low, high)


def _gelu(node: Node) -> Operator:
    return lambda x: functional.gelu(x, approximate=node.text("approximate", "none"))


def _leaky(node: Node) -> Operator:
    return lambda x: functional.leaky_relu(x, node.attributes.get("alpha", 0.01))


def _prelu(_node: Node) -> Operator:
    return lambda x, slope: torch.where(x < 0, x * slope, x)


def _layer_norm(node: Node) -> Operator:
    axis, epsilon = node.attributes.get("axis", -1), node.attributes.get("epsilon", 1e-5)

    def norm(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.layer_norm(x, x.shape[axis:], scale, bias, epsilon)

    return norm


def _mean(node: Node) -> Operator:
    axes, keep = node.setting("axes", 1), bool(node.attributes.get("keepdims", 1))
    if not axes:
        raise node.refusal("is a mean over all axes")
    # Graphs take one image, so the batch may be one of the axes (see `WidenChannelMean`). Here a batch holds several
    # images, which must not be mixed.
    within = [axis for axis in axes if axis != 0]
    if len(within) < len(axes) and not keep:
        raise node.refusal("is a mean that drops the batch")
    return lambda x: x.mean(within, keepdim=keep)


def _concat(node: Node) -> Operator:
    return lambda *parts: torch.cat(parts, node.attributes["axis"])


def _depth_to_space(node: Node) -> Operator:
    size = node.attributes["blocksize"]
    if node.text("mode", "DCR") == "CRD":
        return lambda x: functional.pixel_shuffle(x, size)

    def shuffle(x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        parts = x.reshape(batch, size, size, channels // size**2, height, width).permute(0, 3, 4, 1, 5, 2)
        return parts.reshape(batch, channels // size**2, height * size, width * size)

    return shuffle


def _space_to_depth(node: Node) -> Operator:
    size = node.attributes["blocksize"]

    def unshuffle(x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        parts = x.reshape(batch, channels, height // size, size, width // size, size).permute(0, 3, 5, 1, 2, 4)
        return parts.reshape(batch, channels * size**2, height // size, width // size)

    return unshuffle


def _resize(node: Node) -> Operator:
    """Nearest-neighbour enlargement by whole factors, by which all roundings and coordinate rules agree."""
    scales = node.constants.get(2)
    if node.text("mode", "nearest") != "nearest" or scales is None or scales.size != 4:
        raise node.refusal("is not nearest-neighbour enlargement by constant factors")
    factors = [round(float(factor)) for factor in scales]
    if factors[:2] != [1, 1] or not np.array_equal(scales, factors) or min(factors) < 1:
        raise node.refusal(f"enlarges by {scales.tolist()}, and not by whole factors")
    return lambda x: x.repeat_interleave(factors[2], 2).repeat_interleave(factors[3], 3)


_PADDING = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


def _pad(node: Node) -> Operator:
    pads, value, mode = node.setting("pads", 1), node.setting("value", 2, 0.0), node.text("mode", "constant")
    if mode not in _PADDING or len(pads) != 8 or any(pads[:2]) or any(pads[4:6]) or node.inputs > 3:
        raise node.refusal("does not pad height and width alone")
    top, left, bottom, right = pads[2], pads[3], pads[6], pads[7]
    extra = {"value": float(np.asarray(value).item())} if mode == "constant" else {}
    return lambda x: functional.pad(x, (left, right, top, bottom), _PADDING[mode], **extra)


def _transpose(node: Node) -> Operator:
    order = node.attributes.get("perm")
    return lambda x: x.permute(*(order or reversed(range(x.ndim))))


def _cast(_node: Node) -> Operator:
    """Images of bytes are whole numbers in floating point here."""
    return lambda x: x


def _plain(function: Operator) -> Callable[[Node], Operator]:
    return lambda _node: function


def _total(*parts: Tensor) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


_FIRST_SETTING = {"Clip": 1, "ReduceMean": 1, "Resize": 1, "Pad": 1}
"""The first input that is a setting of the operator instead of an operand."""

_MAKERS: Mapping[str, Callable[[Node], Operator]] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "Div": _plain(torch.div),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Gelu": _gelu,
    "GlobalAveragePool": _plain(lambda x: x.mean((2, 3), keepdim=True)),
    "HardSwish": _plain(functional.hardswish),
    "Identity": _plain(lambda x: x),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "PRelu": _prelu,
    "Pad": _pad,
    "Pow": _plain(torch.pow),
    "ReduceMean": _mean,
    "Reciprocal": _plain(torch.reciprocal),
    "Relu": _plain(functional.relu),
    "Resize": _resize,
    "Round": _plain(rounded),
    "Sigmoid": _plain(torch.sigmoid),
    "SpaceToDepth": _space_to_depth,
    "Sqrt": _plain(torch.sqrt),
    "Sub": _plain(torch.sub),
    "Sum": _plain(_total),
    "Tanh": _plain(torch.tanh),
    "Transpose": _transpose,
}
