"""Scales channels to where a precision rounds them least, before convolutions read them.

The factor goes into the norm or convolution that computes the channel, and the weights that read it are divided by the
factor, so the function stays the same.

int8 has one step for all channels of a tensor, which the channel with the largest values determines. So all get the
same range.

A bf16 value has 8 significant bits: between 2^k and 2^(k+1) neighbours are 2^(k-7) apart, wherever in between they lie.
Relative to its size, a value just below a power of two is therefore rounded half as coarsely as one just above it. A
channel whose values stay close to its mean, as after a norm, has an up to four times smaller mean square error after
being multiplied by a factor that moves it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.analysis.tensors import tensor_function
from toolkit.graph.editing import add_constant, named_node, replace_constant
from toolkit.graph.matching import constant, consumers, per_channel, producer, read_only_by
from toolkit.graph.passes.base import GraphPass
from toolkit.port import Port

_FACTORS = 1 + np.arange(32) / 32
"""What a channel can be multiplied with for bf16: its values from 1 to 2. A power of two would change no rounding
error."""

_WITHIN = 0.999
"""Share of a channel's values that are to fill int8's range. Its largest value would let a single one decide."""

_WIDEST = 1e3
"""Most that the range of a channel is enlarged, relative to the others: channels that are constant have none."""


class ScaleChannels(GraphPass):
    """conv(n + b) becomes conv'(s * n + s * b), conv(conv(x)) becomes conv'(s * conv(x)): the same function.

    Requires: nothing.
    Ensures: nothing. Factors of tensors that are not in the graph have no effect.

    Attributes:
        factors: (C,) for each tensor that is to be scaled, by its name; see `bf16_factors` and `int8_factors`.
    """

    title = "channels scaled"

    def __init__(self, factors: Mapping[str, NDArray[np.float64]]) -> None:
        super().__init__()
        self.factors = factors

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        found = [place for place in _places(model) if place.value.name in self.factors]
        for place in found:
            factor = self.factors[str(place.value.name)]
            for conv in place.convs:
                _scale_constant(model, conv, 1, 1 / factor.reshape(1, -1, 1, 1))
            _scale_made(model, place.made_by, factor)
            # A new name, because tools that compare graphs tensor by tensor must not compare it with the old one.
            place.value.name = f"{place.value.name}.scaled"
        return ir.passes.PassResult(model, modified=bool(found))


def bf16_factors(model: onnx.ModelProto, port: Port, images: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """For each tensor that can be scaled, the factor of each channel whose rounding error is smallest, (C,).

    Args:
        model: float32, takes any size.
        port: its input.
        images: frames to measure on, as the port says.
    """
    # The mean square over all images is minimised; images of different sizes count alike.
    factors = {}
    for name, function in _scalable(model):
        errors = np.sum([_errors(function(image, port)[0]) for image in images], axis=0)
        factors[name] = _FACTORS[np.argmin(errors, axis=0)]
    return factors


def int8_factors(model: onnx.ModelProto, port: Port, images: Sequence[NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    """For each tensor that can be scaled, factors that give all its channels one range, (C,). Arguments as above."""
    factors = {}
    for name, function in _scalable(model):
        pixels = np.concatenate([_pixels(function(image, port)) for image in images], axis=1)
        ranges = np.quantile(np.abs(pixels), _WITHIN, axis=1)
        widest = ranges.max()
        if 0 < widest < np.inf:
            factors[name] = 1 / np.maximum(ranges / widest, 1 / _WIDEST)
    return factors


def _scalable(model: onnx.ModelProto) -> Iterator[tuple[str, Callable[[NDArray[Any], Port], NDArray[Any]]]]:
    """Tensors that can be scaled: their names, and the functions of a frame that compute them."""
    for place in _places(ir.from_proto(model)):
        name = str(place.value.name)
        yield name, tensor_function(model, name)


def _pixels(tensor: NDArray[Any]) -> NDArray[np.float64]:
    """(1, C, H, W) as (C, H * W)."""
    pixels: NDArray[np.float64] = tensor[0].reshape(tensor.shape[1], -1).astype(np.float64)
    return pixels


@dataclass(frozen=True)
class _Place:
    """A tensor whose channels can be scaled: a norm or a convolution makes it, and only `convs` read it."""

    value: ir.Value
    made_by: ir.Node
    convs: list[ir.Node]


def _places(model: ir.Model) -> list[_Place]:
    found = []
    for node in model.graph:
        value = node.outputs[0]
        convs = consumers(value)
        shifts = node.op_type == "Add" and (shifting := per_channel(node)) is not None and _only(shifting.tensor, node)
        if (shifts or _is_dense(node)) and convs and read_only_by(value, convs) and all(map(_is_dense, convs)):
            found.append(_Place(value, node, convs))
    return found


def _only(value: ir.Value, node: ir.Node) -> bool:
    return value.producer() is not None and read_only_by(value, [node])


def _is_dense(node: ir.Node) -> bool:
    """A convolution over all channels, with a bias and weights of its own."""
    return (
        node.op_type == "Conv"
        and node.attributes.get_int("group", 1) == 1
        and len(node.inputs) == 3
        and all(
            constant(value) is not None and value is not None and read_only_by(value, [node])
            for value in node.inputs[1:]
        )
    )


def _scale_made(model: ir.Model, node: ir.Node, factor: NDArray[np.float64]) -> None:
    """Multiply what a convolution computes, or a norm and its shift."""
    if node.op_type == "Conv":
        _scale_constant(model, node, 1, factor.reshape(-1, 1, 1, 1))
        _scale_constant(model, node, 2, factor)
        return
    shifting = per_channel(node)
    if shifting is None:
        raise ir.passes.PreconditionError(f"{node.name} has no shift per channel")
    data, index = shifting.tensor, shifting.index
    column = factor.astype(np.float32).reshape(-1, 1, 1)
    _scale_constant(model, node, index, column)
    scaling = producer(data, "Mul")
    scaled = None if scaling is None else per_channel(scaling)
    if scaling is not None and scaled is not None:
        _scale_constant(model, scaling, scaled.index, column)
        return
    # FoldNormScale removed the norm's own scale, so there is no Mul that could take the factor.
    name = f"{str(node.name).rpartition('.')[0]}.scale"
    scale = named_node("Mul", [data, add_constant(model, f"{name}.factor", column)], name)
    scale.outputs[0].type, scale.outputs[0].shape = data.type, data.shape
    model.graph.insert_before(node, scale)
    node.replace_input_with(1 - index, scale.outputs[0])


def _scale_constant(model: ir.Model, node: ir.Node, index: int, factor: NDArray[np.floating]) -> None:
    value = node.inputs[index]
    array = constant(value)
    if value is None or array is None:
        raise ir.passes.PreconditionError(f"input {index} of {node.name} is not constant")
    scaled = (array.astype(np.float64) * factor).astype(np.float32)
    replace_constant(model, node, index, scaled.reshape(array.shape), f"{node.name}.{value.name}.scaled")


def _errors(tensor: NDArray[Any]) -> NDArray[np.float64]:
    """Mean square of the rounding error of each channel of a (C, H, W), for each factor: (factors, C).

    In units of the channel before scaling: the weights that read it divide the error by the factor, too.
    """
    pixels = tensor.reshape(len(tensor), -1).astype(np.float32)
    found = []
    for factor in _FACTORS.astype(np.float32):
        scaled = factor * pixels
        rounded = scaled.astype(ml_dtypes.bfloat16).astype(np.float32)
        found.append(np.square(rounded - scaled, dtype=np.float64).mean(1) / factor**2)
    return np.array(found)
