"""Rewrites a float32 graph to a smaller floating-point type, strongly typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.analysis.shapes import inferred_tensors
from toolkit.graph.editing import (
    add_constant,
    extend_output,
    insert_after,
    insert_between,
    named_node,
    remove_unused_nodes,
    scale_weights,
)
from toolkit.graph.matching import constant, pixel_convs
from toolkit.graph.passes.base import GraphPass

Keep = Callable[[ir.Node], bool]
"""Whether a node stays in float32."""

_FLOAT = ir.DataType.FLOAT
_ALWAYS_FLOAT = {("Resize", 2)}
"""Inputs, by operator and index, that ONNX defines as float32 for every type of data: scales of sizes."""

_BYTE_SCALE = 256.0
"""A power of two, so that moving it between an image and a weight changes no bit of either."""


class LowerPrecision(GraphPass):
    """Compute in `target`, except for the nodes that `keep` selects; input and output keep their types.

    Casts are inserted exactly where a tensor passes between nodes of different types, one per tensor and type. Weights
    that read uint8 images contain the factor 1/255 (see Uint8IO), which makes them so small that half precision stores
    them with few bits; 1/256 of the factor moves to the image.

    Requires: all floating-point tensors are float32.
    Ensures: every node's floating-point inputs have one type (strongly typed).

    Attributes:
        losses: weights that left the target's range or became zero, by the names of their node and of the constant.
    """

    title = "lower precision"

    def __init__(self, target: ir.DataType, keep: Keep = lambda _: False, title: str = title) -> None:
        super().__init__()
        self.title = title
        self.target, self._keep = target, keep
        self.losses: dict[tuple[str, str], str] = {}

    def requires(self, model: ir.Model) -> None:
        for value in [*model.graph.initializers.values(), *model.graph.inputs]:
            if value.dtype is not None and value.dtype.is_floating_point() and value.dtype != _FLOAT:
                raise ir.passes.PreconditionError(f"{value.name} is already {value.dtype}")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        _infer_types(model)
        _move_byte_scale(model)
        nodes = list(model.graph)
        wanted = {node: _FLOAT if self._keep(node) else self.target for node in nodes}
        types: dict[ir.Value, ir.DataType | None] = {value: value.dtype for value in model.graph.inputs}
        for node in nodes:
            for output in node.outputs:
                types[output] = self._output_type(node, output, wanted[node])
        for node in nodes:
            self._type_inputs(model, node, wanted[node], types)
            if node.op_type == "Cast" and node.attributes["to"].as_int() == _FLOAT:
                node.attributes["to"] = ir.AttrInt64("to", int(wanted[node]))
        self._restore_outputs(model, types)
        for value, dtype in types.items():
            if dtype is not None:
                value.dtype = dtype
        remove_unused_nodes(model)
        return ir.passes.PassResult(model, modified=True)

    def ensures(self, model: ir.Model) -> None:
        floating = {_FLOAT, self.target}
        for node in model.graph:
            kinds = {
                value.dtype
                for index, value in enumerate(node.inputs)
                if value is not None and value.dtype in floating and (node.op_type, index) not in _ALWAYS_FLOAT
            }
            if len(kinds) > 1:
                raise ir.passes.PostconditionError(f"{node.name} mixes {sorted(map(str, kinds))}")

    def _output_type(self, node: ir.Node, output: ir.Value, wanted: ir.DataType) -> ir.DataType | None:
        if node.op_type == "Cast" and node.attributes["to"].as_int() != _FLOAT:
            return output.dtype
        return wanted if output.dtype == _FLOAT else output.dtype

    def _type_inputs(
        self, model: ir.Model, node: ir.Node, wanted: ir.DataType, types: dict[ir.Value, ir.DataType | None]
    ) -> None:
        if node.op_type == "Cast":
            return  # takes anything
        for index, value in enumerate(node.inputs):
            if value is None or (node.op_type, index) in _ALWAYS_FLOAT:
                continue
            array = constant(value)
            if array is not None:
                if array.dtype == np.float32 and wanted != _FLOAT:
                    node.replace_input_with(index, self._lowered(model, node, value, array))
            elif types.get(value) in (_FLOAT, self.target) and types[value] != wanted:
                node.replace_input_with(index, _cast(model, value, wanted, types))

    def _lowered(self, model: ir.Model, node: ir.Node, value: ir.Value, array: NDArray[Any]) -> ir.Value:
        name = f"{value.name}.{self.target.short_name()!s}"
        if name in model.graph.initializers:
            return model.graph.initializers[name]
        with np.errstate(over="ignore"):
            lowered = array.astype(self.target.numpy())
        self._note_losses((str(node.name), str(value.name)), array, lowered.astype(np.float64))
        made = ir.Value(name=name, const_value=ir.tensor(lowered, dtype=self.target, name=name))
        made.type, made.shape = ir.TensorType(self.target), ir.Shape(array.shape)
        model.graph.register_initializer(made)
        return made

    @property
    def notes(self) -> list[str]:
        return [f"node {node}, {constant}: {loss}" for (node, constant), loss in self.losses.items()]

    def _note_losses(self, name: tuple[str, str], array: NDArray[Any], lowered: NDArray[np.float64]) -> None:
        beyond = int((~np.isfinite(lowered)).sum())
        zeroed = int(((lowered == 0) & (array != 0)).sum())
        if beyond or zeroed:
            parts = [f"{beyond} out of range"] if beyond else []
            parts += [f"{zeroed} of {array.size} lost to zero"] if zeroed else []
            self.losses[name] = ", ".join(parts)

    def _restore_outputs(self, model: ir.Model, types: dict[ir.Value, ir.DataType | None]) -> None:
        """Float outputs are float32 again."""
        for index, result in enumerate(model.graph.outputs):
            if result.producer() is None or types[result] != self.target:
                continue
            restored = extend_output(model, _to_float, index)
            restored.shape, restored.type = result.shape, ir.TensorType(_FLOAT)
            types[restored] = _FLOAT


def _cast(model: ir.Model, value: ir.Value, wanted: ir.DataType, types: dict[ir.Value, ir.DataType | None]) -> ir.Value:
    """`value` in another type; made once, right after it is computed."""
    name = f"{value.name}.to_{wanted.short_name()}"
    for use in value.uses():
        if use.node.name == name:
            return use.node.outputs[0]
    cast = named_node("Cast", [value], name, {"to": wanted})
    cast.outputs[0].shape = value.shape
    types[cast.outputs[0]] = wanted
    insert_after(model, value, [cast])
    return cast.outputs[0]


def _to_float(value: ir.Value) -> list[ir.Node]:
    return [named_node("Cast", [value], "output.to_float", {"to": _FLOAT})]


def _infer_types(model: ir.Model) -> None:
    known = inferred_tensors(ir.to_proto(model))
    for node in model.graph:
        for value in node.outputs:
            if value.dtype is None and value.name in known:
                value.dtype = ir.DataType(known[value.name].dtype)
    if untyped := [value.name for node in model.graph for value in node.outputs if value.dtype is None]:
        raise ir.passes.PreconditionError(f"types of {untyped} cannot be inferred")


def _move_byte_scale(model: ir.Model) -> None:
    """For convolutions that read a uint8 image: weights x 256, image / 256."""
    image = model.graph.inputs[0]
    cast = next((use.node for use in image.uses() if use.node.op_type == "Cast"), None)
    if cast is None:
        return
    pixels = cast.outputs[0]
    scale = add_constant(model, "input.scale", np.float32(1 / _BYTE_SCALE))
    result = insert_between(model, pixels, [named_node("Mul", [pixels, scale], "input.scaled")])
    result.type, result.shape = ir.TensorType(_FLOAT), pixels.shape
    scale_weights(model, pixel_convs(model), _BYTE_SCALE)
