"""Quantises convolutions to int8, as QuantizeLinear and DequantizeLinear pairs that every runtime accepts."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.editing import add_constant, named_node, remove_unused_nodes, replace_constant
from toolkit.graph.matching import constant, producer
from toolkit.graph.passes.base import GraphPass

LARGEST = 127
"""What the largest magnitude becomes: symmetric, though -128 of an activation is not cut off."""


class QuantiseConvs(GraphPass):
    """Convolutions read int8, symmetric, with one step per activation tensor and one per output channel of weights.

    Accepted by ONNX Runtime, OpenVINO and TensorRT alike: QDQ form, int8 on both sides, convolutions only, no int32
    bias. It is also what TensorRT's guide advises: inputs of convolutions, not their outputs. The guide adds the
    other input of a residual addition, and RT4KSR has none: so there is no second placement.

    Requires: constant convolution weights; a range for every activation that a quantised convolution reads.
    Ensures: every convolution that is not excluded reads two DequantizeLinear nodes.
    """

    title = "int8 convolutions"

    def __init__(self, largest: Mapping[str, float], excluded: Collection[str] = ()) -> None:
        """`largest`: magnitude that 127 stands for, by the name of the activation. `excluded`: convolutions by name."""
        super().__init__()
        self._range, self._excluded = largest, frozenset(excluded)
        self._pairs: dict[str, ir.Value] = {}

    def requires(self, model: ir.Model) -> None:
        names = {node.name for node in model.graph if node.op_type == "Conv"}
        if unknown := self._excluded - names:
            raise ir.passes.PreconditionError(
                f"there is no convolution {sorted(unknown)}; there are {sorted(map(str, names))}"
            )
        for conv in self._convs(model):
            activation = conv.inputs[0]
            if activation is None or not self._range.get(str(activation.name), 0.0) > 0:
                raise ir.passes.PreconditionError(f"there is no range for the input of {conv.name}")
            if constant(conv.inputs[1]) is None:
                raise ir.passes.PreconditionError(f"the weight of {conv.name} is not constant")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        convs = self._convs(model)
        for conv in convs:
            self._quantise_input(model, conv)
            _quantise_weight(model, conv)
        remove_unused_nodes(model)  # concatenations that only convolutions read
        return ir.passes.PassResult(model, modified=bool(convs))

    def ensures(self, model: ir.Model) -> None:
        for conv in self._convs(model):
            for value in conv.inputs[:2]:
                node = None if value is None else value.producer()
                if node is None or node.op_type != "DequantizeLinear":
                    raise ir.passes.PostconditionError(f"{conv.name} does not read int8")

    def _convs(self, model: ir.Model) -> list[ir.Node]:
        return [node for node in model.graph if node.op_type == "Conv" and node.name not in self._excluded]

    def _quantise_input(self, model: ir.Model, conv: ir.Node) -> None:
        activation = conv.inputs[0]
        if activation is None:
            raise ir.passes.PreconditionError(f"{conv.name} has no input")
        name = str(activation.name)
        if name not in self._pairs:  # two convolutions of one tensor share the pair
            prefix, scale = f"{name}.int8", np.float32(self._range[name] / LARGEST)
            step = (add_constant(model, f"{prefix}.scale", scale), add_constant(model, f"{prefix}.zero", np.int8(0)))
            integers = _quantised(model, activation, step, prefix, conv)
            dequantise = named_node("DequantizeLinear", [integers, *step], f"{prefix}.dequantise")
            model.graph.insert_before(conv, [dequantise])
            self._pairs[name] = dequantise.outputs[0]
        conv.replace_input_with(0, self._pairs[name])


def weight_integers(weight: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights (O, ...) as whole numbers of at most 127, and the step of each output channel (O,).

    The sum of any two weights of a channel stays at most 128 steps. Processors with AVX2 or AVX-512 but without VNNI
    multiply bytes by an instruction that adds two products in 16 bits and saturates: 255 * 127 * 2 = 64770 > 32767.
    ONNX Runtime and OpenVINO use it, and then compute wrong sums without an error; 255 * 128 fits, whichever weights
    they pair.
    """
    rows = weight.reshape(len(weight), -1)
    total = np.sort(np.abs(rows), axis=1)[:, -2:].sum(axis=1)
    steps = np.where(total > 0, total / LARGEST, 1.0).astype(np.float32)
    whole = np.rint(rows / steps.astype(np.float64)[:, None]).clip(-LARGEST, LARGEST)
    return whole.astype(np.int8).reshape(weight.shape), steps


def _quantised(
    model: ir.Model, activation: ir.Value, step: tuple[ir.Value, ir.Value], prefix: str, before: ir.Node
) -> ir.Value:
    """An activation as int8. Of a concatenation every part is quantised, by the same step, and integers are joined.

    That is the same function. OpenVINO (2026.4) moves a quantiser that reads a concatenation to the parts itself, and
    then computes parts as unsigned integers that have negative values, which become zero.
    """
    joined = producer(activation, "Concat")
    if joined is None:
        quantise = named_node("QuantizeLinear", [activation, *step], f"{prefix}.quantise")
        model.graph.insert_before(before, [quantise])
        return quantise.outputs[0]
    parts = [
        _quantised(model, part, step, f"{prefix}.{index}", before)
        for index, part in enumerate(joined.inputs)
        if part is not None
    ]
    axis = joined.attributes["axis"].as_int()
    concat = named_node("Concat", parts, f"{prefix}.concat", {"axis": axis})
    model.graph.insert_before(before, [concat])
    return concat.outputs[0]


def _quantise_weight(model: ir.Model, conv: ir.Node) -> None:
    weight = constant(conv.inputs[1])
    if weight is None:
        raise ir.passes.PreconditionError(f"the weight of {conv.name} is not constant")
    stored, scale = weight_integers(weight.astype(np.float64))
    prefix = f"{conv.name}.weight.int8"
    replace_constant(model, conv, 1, stored, prefix)
    operands = [
        add_constant(model, f"{prefix}.scale", scale),
        add_constant(model, f"{prefix}.zero", np.zeros(len(scale), np.int8)),
    ]
    dequantise = named_node("DequantizeLinear", [conv.inputs[1], *operands], f"{prefix}.dequantise", {"axis": 0})
    conv.replace_input_with(1, dequantise.outputs[0])
    model.graph.insert_before(conv, dequantise)
