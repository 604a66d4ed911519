"""Ranges and weights of int8 convolutions, chosen by the error of what the convolutions compute.

A range decides between two errors: a large one rounds every value coarsely, a small one cuts off the largest values.
How much either costs is not seen in the values themselves, since weights differ in what they do to them. So for each
convolution several ranges are tried: its weights and bias are fitted by least squares to what it should compute, from
the integers that it would read, and the range with the smallest error is taken.

In the notation of `rounding`: y = W a is what the convolution computes in the exact network, and it will read a',
rounded values of a network whose earlier convolutions are integers already. The best weights are W' = E[y a'T] H^-1
with H = E[a' a'T]. They are smaller than W where a' is noise, they average the errors of channels that resemble each
other, and their bias removes the mean error. So the errors of earlier layers are corrected as far as one layer can.
Then they are rounded, so that their errors compensate each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolkit.graph.analysis.tensors import tensor_function
from toolkit.graph.editing import copied, replace_nodes
from toolkit.graph.precision.fitting import (
    DenseConv,
    Doubles,
    corrected,
    damped,
    dense_convs,
    give_weights,
    rounded_together,
    samples,
)
from toolkit.graph.precision.quantise import LARGEST, weight_integers
from toolkit.port import Port

_SHARES = 2.0 ** (-np.arange(9) / 2)
"""Ranges that are tried, as shares of the largest magnitude: 1 to 1/16."""

_SEARCHED = 4
"""Every how many of the positions ranges are compared on; weights are fitted on all."""


@dataclass(frozen=True)
class IntegerFit:
    """What the convolutions of a graph get when they become integer ones.

    Attributes:
        model: the float32 graph with fitted weights, which are whole numbers of steps.
        magnitudes: what 127 stands for, by the name of each activation that one of them reads.
    """

    model: onnx.ModelProto
    magnitudes: Mapping[str, float]


def fit_integers(
    model: onnx.ModelProto,
    port: Port,
    frames: Sequence[NDArray[Any]],
    given: Mapping[str, float] | None = None,
    progress: Callable[[float], None] = lambda _share: None,
) -> IntegerFit:
    """Fit all convolutions, in the order in which they are computed.

    As if all became integer ones, also where some stay in float32: so all mixes of a graph have the same ranges and
    weights, and what `tune` measured is what a conversion with its options writes.

    Args:
        model: float32, takes any size; it is not changed.
        port: its input.
        frames: to measure on, as the port says.
        given: magnitudes that were chosen before; None: they are chosen here.
        progress: called with the share that is done.
    """
    fitted, rounded = copied(model), copied(model)
    dense = {conv.node.name: conv for conv in dense_convs(model)}
    magnitudes: dict[str, float] = {}
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    for index, node in enumerate(nodes):
        progress(index / len(nodes))
        name = node.input[0]
        reads = tensor_function(rounded, name)
        values = [reads(frame, port) for frame in frames]
        conv = dense.get(node.name)
        pairs = None if conv is None else _pairs(conv, values, tensor_function(model, node.output[0]), port, frames)
        if name not in magnitudes:
            known = None if given is None else given.get(name)
            magnitudes[name] = known or _chosen(conv, pairs, values)
        if conv is not None and pairs is not None:
            read = _quantised(pairs.inputs, magnitudes[name])
            products = _products(read)
            weights = _fitted(conv, read, pairs.outputs, products)
            if np.isfinite(weights).all():  # else the network itself leaves float32's range here
                weights = _rounded(weights, products)
                for graph in (fitted, rounded):
                    _store(graph, conv, weights)
        _quantise_input(rounded, node.name, magnitudes[name])
    return IntegerFit(fitted, magnitudes)


@dataclass(frozen=True)
class _Pairs:
    """What a convolution reads at N positions (N, K), in front a 1 for the bias, and what it should compute (N, O)."""

    inputs: Doubles
    outputs: Doubles


def _pairs(
    conv: DenseConv,
    values: Sequence[NDArray[Any]],
    function: Callable[[NDArray[Any], Port], NDArray[Any]],
    port: Port,
    frames: Sequence[NDArray[Any]],
) -> _Pairs:
    random = np.random.default_rng(0)  # the same positions in every run, so that conversion is reproducible
    found = [
        samples(conv, value, function(frame, port), random, len(frames))
        for value, frame in zip(values, frames, strict=True)
    ]
    return _Pairs(np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found]))


def _chosen(conv: DenseConv | None, pairs: _Pairs | None, values: Sequence[NDArray[Any]]) -> float:
    """The magnitude that 127 should stand for."""
    largest = float(np.max([np.abs(value).max() for value in values]))
    if not 0 < largest < np.inf:
        return 1.0
    if conv is None or pairs is None:  # not dense: by the error of the input itself
        flat = np.concatenate([value.reshape(-1)[:: len(values)] for value in values]).astype(np.float64)
        errors = [np.square(_steps(flat, largest * share) - flat).mean() for share in _SHARES]
    else:
        inputs, outputs = pairs.inputs[::_SEARCHED], pairs.outputs[::_SEARCHED]
        errors = []
        for share in _SHARES:
            read = _quantised(inputs, largest * share)
            weights = _fitted(conv, read, outputs, _products(read))
            errors.append(np.square(read @ weights.T - outputs).mean())
    return largest * float(_SHARES[int(np.argmin(errors))])


def _fitted(conv: DenseConv, inputs: Doubles, outputs: Doubles, products: Doubles) -> Doubles:
    """The weights (O, K), with the bias in front, that compute the outputs from the inputs with the least error."""
    missing = (outputs - inputs @ conv.flat.T).T @ inputs / len(inputs)
    return corrected(conv, products, missing)


def _products(inputs: Doubles) -> Doubles:
    """H, damped."""
    return damped(inputs.T @ inputs / len(inputs))


def _rounded(weights: Doubles, products: Doubles) -> Doubles:
    """The weights (O, K) as `QuantiseConvs` will store them, rounded so that their errors compensate each other.

    It takes the steps from the two largest magnitudes of a channel. So these get the whole numbers, 127 in sum, that
    give the same steps again, and no other weight may become larger than them.
    """
    rows = weights[:, 1:]
    steps = weight_integers(rows)[1].astype(np.float64)
    order = np.argsort(-np.abs(rows), axis=1, kind="stable")[:, :2]
    signs = np.sign(np.take_along_axis(rows, order, axis=1))
    first = np.rint(np.abs(rows).max(axis=1) / steps)
    fixed = np.stack([first, LARGEST - first], axis=1)[:, : order.shape[1]]

    def nearest(index: int, column: Doubles) -> Doubles:
        if index == rows.shape[1]:
            return column  # the bias stays in float32, and removes the mean error that is left
        whole = np.rint(column / steps).clip(-fixed[:, -1], fixed[:, -1])
        for place, sign, number in zip(order.T, signs.T, fixed.T, strict=True):
            whole = np.where(place == index, sign * number, whole)
        return whole * steps

    # The bias comes last.
    made = rounded_together(np.roll(weights, -1, axis=1), np.roll(products, -1, axis=(0, 1)), nearest)
    return np.roll(made, 1, axis=1)


def _quantised(inputs: Doubles, magnitude: float) -> Doubles:
    return np.concatenate([inputs[:, :1], _steps(inputs[:, 1:], magnitude)], 1)


def _steps(values: Doubles, magnitude: float) -> Doubles:
    """The nearest multiples of the step, as QuantizeLinear and DequantizeLinear."""
    step = magnitude / LARGEST
    steps: Doubles = np.rint(values / step).clip(-LARGEST - 1, LARGEST) * step
    return steps


def _store(model: onnx.ModelProto, conv: DenseConv, weights: Doubles) -> None:
    single = weights.astype(np.float32)
    give_weights(model, conv, "fitted", single[:, 1:].reshape(conv.weight.shape), single[:, 0])


def _quantise_input(model: onnx.ModelProto, conv: str, magnitude: float) -> None:
    """Let a convolution read what it will read, in a float32 graph."""
    names = {kind: f"{conv}.input.{kind}" for kind in ("step", "zero", "integers", "rounded")}
    model.graph.initializer.append(numpy_helper.from_array(np.array(magnitude / LARGEST, np.float32), names["step"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), names["zero"]))
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.name == conv:
            operands = [names["step"], names["zero"]]
            quantise = [node.input[0], *operands], [names["integers"]]
            dequantise = [names["integers"], *operands], [names["rounded"]]
            nodes.append(helper.make_node("QuantizeLinear", *quantise, name=names["integers"]))
            nodes.append(helper.make_node("DequantizeLinear", *dequantise, name=names["rounded"]))
            node.input[0] = names["rounded"]
        nodes.append(node)
    replace_nodes(model, nodes)
