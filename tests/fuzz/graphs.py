"""ONNX graphs: changed attributes, weights, wires, types and shapes, and nodes that libraries crash on."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from fuzz.bytes import damaged
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from onnx import TensorProto, helper

_NUMBERS = [0, -1, 1, 2, 3, 7, 255, 1 << 16, 1 << 31, (1 << 32) + 1, 3_037_000_500, (1 << 63) - 1, -(1 << 63)]
_OPERATORS = [
    *("Relu", "Identity", "DepthToSpace", "SpaceToDepth", "Conv", "ConvTranspose", "MaxPool", "AveragePool", "Resize"),
    *("Tile", "Expand", "ConstantOfShape", "Reshape", "Transpose", "Gather", "Pad", "Slice", "If", "Loop", "Nonsense"),
]
_TYPES = [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.UINT8, 99]
_TEXTS = ["", "x", "a\nb", "é" * 200, "../../x", "input", "output"]

Change = Callable[[onnx.ModelProto], None]


def graphs(content: bytes) -> SearchStrategy[bytes]:
    """A graph with one to three changes, or damaged as bytes."""
    change = st.one_of(_attributes(), _weights(), _wires(), _nodes(), _ends(), _names())
    made = st.lists(change, min_size=1, max_size=3).map(lambda changes: _applied(content, changes))
    return st.one_of(made, made, made, damaged(content))


def _applied(content: bytes, changes: list[Change]) -> bytes:
    model = onnx.ModelProto()
    model.ParseFromString(content)
    for change in changes:
        change(model)
    return model.SerializeToString()


_index = st.integers(0, 1 << 16)
_number = st.sampled_from(_NUMBERS)


@st.composite
def _attributes(draw: st.DrawFn) -> Change:
    """An attribute of a node gets numbers that it should not have."""
    node, attribute, number = draw(_index), draw(_index), draw(_number)

    def change(model: onnx.ModelProto) -> None:
        nodes = [item for item in model.graph.node if item.attribute]
        if not nodes:
            return
        chosen = nodes[node % len(nodes)]
        item = chosen.attribute[attribute % len(chosen.attribute)]
        if item.ints:
            item.ints[attribute % len(item.ints)] = number
        else:
            item.i = number

    return change


@st.composite
def _weights(draw: st.DrawFn) -> Change:
    """A weight has another shape, type or less content than its shape says."""
    index, number, kind, dtype = draw(_index), draw(_number), draw(st.integers(0, 3)), draw(st.sampled_from(_TYPES))

    def change(model: onnx.ModelProto) -> None:
        if not model.graph.initializer:
            return
        tensor = model.graph.initializer[index % len(model.graph.initializer)]
        if kind == 0 and tensor.dims:
            tensor.dims[index % len(tensor.dims)] = number
        elif kind == 1:
            tensor.data_type = dtype
        elif kind == 2:
            tensor.raw_data = tensor.raw_data[: len(tensor.raw_data) // 2]
        else:
            tensor.dims.append(number)

    return change


@st.composite
def _wires(draw: st.DrawFn) -> Change:
    """A node reads, or is, something else; nodes are removed, repeated or exchanged."""
    first, second, kind = draw(_index), draw(_index), draw(st.integers(0, 4))
    operator = draw(st.sampled_from(_OPERATORS))

    def change(model: onnx.ModelProto) -> None:
        nodes = model.graph.node
        if len(nodes) < 2:
            return
        one, other = nodes[first % len(nodes)], nodes[second % len(nodes)]
        if kind == 0 and one.input and other.output:
            one.input[first % len(one.input)] = other.output[0]
        elif kind == 1:
            one.op_type = operator
        elif kind == 2:
            del nodes[first % len(nodes)]
        elif kind == 3:
            nodes.add().CopyFrom(one)
        elif one.input:
            del one.input[first % len(one.input)]

    return change


@st.composite
def _nodes(draw: st.DrawFn) -> Change:
    """A node before the output, with numbers that allocate or overflow."""
    number, kind = draw(_number), draw(st.integers(0, 5))

    def change(model: onnx.ModelProto) -> None:
        end = model.graph.output[0].name
        for node in model.graph.node:
            for index, name in enumerate(node.output):
                if name == end:
                    node.output[index] = "before_end"
        add = model.graph.node.append
        if kind == 0:
            add(helper.make_node("DepthToSpace", ["before_end"], [end], blocksize=number))
        elif kind == 1:
            add(helper.make_node("MaxPool", ["before_end"], [end], kernel_shape=[1, 1], strides=[number, number]))
        elif kind == 2:
            add(helper.make_node("AveragePool", ["before_end"], [end], kernel_shape=[number, 1]))
        else:
            operator = ("Tile", "Expand", "Reshape")[kind % 3]
            sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1, number, 1])
            model.graph.initializer.append(sizes)
            add(helper.make_node(operator, ["before_end", "sizes"], [end]))

    return change


@st.composite
def _ends(draw: st.DrawFn) -> Change:
    """Input and output have other types and shapes; there are more of them, or none."""
    number, dtype, kind = draw(_number), draw(st.sampled_from(_TYPES)), draw(st.integers(0, 4))

    def change(model: onnx.ModelProto) -> None:
        ends = model.graph.input if number % 2 else model.graph.output
        if kind == 0:
            ends[0].type.tensor_type.elem_type = dtype
        elif kind == 1:
            del ends[0].type.tensor_type.shape.dim[:]
        elif kind == 2:
            ends[0].type.tensor_type.shape.dim[number % 4].dim_value = number
        elif kind == 3:
            ends.add().CopyFrom(ends[0])
        else:
            del ends[:]

    return change


@st.composite
def _names(draw: st.DrawFn) -> Change:
    """Names, metadata and operator sets are something else."""
    index, text, number, kind = draw(_index), draw(st.sampled_from(_TEXTS)), draw(_number), draw(st.integers(0, 4))

    def change(model: onnx.ModelProto) -> None:
        node = model.graph.node[index % len(model.graph.node)] if model.graph.node else None
        if kind == 0 and node is not None:
            node.name = text
        elif kind == 1 and node is not None:
            node.domain = text
        elif kind == 2 and model.opset_import:
            model.opset_import[0].version = number
        elif kind == 3:
            model.ir_version = number
        elif node is not None and node.output:
            node.output[0] = text

    return change
