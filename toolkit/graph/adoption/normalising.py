"""Rewrites a graph from elsewhere to the form of the toolkit's own: one type, one batch, named ends and nodes.

Nothing here changes what the network computes in exact arithmetic. The float64 graph that comes out is the truth which
every later step is compared with; float16 weights are widened exactly.
"""

from __future__ import annotations

import re
from itertools import chain, count

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto, numpy_helper

from toolkit.errors import InputError
from toolkit.graph.editing import copied
from toolkit.graph.protos import opset_version, stored_tensors
from toolkit.system.foreign import foreign
from toolkit.workloads import Shape

_OPSET = 20
"""That older graphs are converted to; later ones keep theirs."""

_FLOATING = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE)
_LONGEST_NAME = 120


def normalised(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A float32 graph from `input` (1, C, height, width), or NHWC, to `output`, with names of its own for every node.

    Args:
        model: with one input and one output of four dimensions (`reading.read_graph`); is not changed.
        name: of the graph, for messages.

    Raises:
        InputError: its opset cannot be converted.
    """
    result = copied(model)
    _drop_unused_domains(result)
    result = _converted(result, name)
    _single_type(result)
    _name_ends(result)
    _name_nodes(result)
    _free_sizes(result)
    del result.metadata_props[:], result.graph.value_info[:], result.graph.metadata_props[:]
    result.doc_string = result.graph.doc_string = ""
    result.graph.name = "network"
    return result


def _drop_unused_domains(model: onnx.ModelProto) -> None:
    """Exporters and optimizers list every domain that they know."""
    used = {"" if node.domain == "ai.onnx" else node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if ("" if entry.domain == "ai.onnx" else entry.domain) in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _converted(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    if (version := opset_version(model)) >= _OPSET:
        return model
    with foreign(f"{name} has opset {version}, which cannot be converted to {_OPSET}", "Export it again.", InputError):
        converted: onnx.ModelProto = onnx.version_converter.convert_version(model, _OPSET)
    return converted


def _single_type(model: onnx.ModelProto) -> None:
    """Every floating-point tensor in float32. Casts between floating-point types become casts to float32, and go."""
    graph = model.graph
    for tensor in stored_tensors(model):
        _widen(tensor)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type in _FLOATING:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in {"to", "dtype"} and attribute.i in _FLOATING:
                attribute.i = TensorProto.FLOAT


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type in _FLOATING and tensor.data_type != TensorProto.FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))


def _name_ends(model: onnx.ModelProto) -> None:
    """The image is `input`, the result is `output`; whatever else has these names gets another."""
    graph = model.graph
    ends = {graph.input[0].name: "input", graph.output[0].name: "output"}
    taken = {"input", "output"} - set(ends)
    new = ends | {name: f"{name}.inner" for name in taken}
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = new.get(name, name)
    for tensor in graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)
    graph.input[0].name, graph.output[0].name = "input", "output"
    for end in (graph.input[0], graph.output[0]):
        end.doc_string = ""
        del end.metadata_props[:]


def _name_nodes(model: onnx.ModelProto) -> None:
    """Plain, unique names, kept as far as they are; nodes without one are called by their operator."""
    taken: set[str] = set()
    for node in model.graph.node:
        plain = re.sub(r"[^A-Za-z0-9_.]+", ".", node.name).strip(".")[:_LONGEST_NAME] or node.op_type.lower()
        numbered = (f"{plain}_{number}" for number in count(1))
        node.name = next(name for name in chain([plain], numbered) if name not in taken)
        taken.add(node.name)
        node.doc_string = ""
        del node.metadata_props[:]


def _free_sizes(model: onnx.ModelProto) -> None:
    """One image; sizes that are dynamic already are called `height` and `width`, and the output's follow from them."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_value = 1
    rows, columns = spatial_axes(model)
    for axis, name in ((rows, "height"), (columns, "width")):
        if not dims[axis].dim_value:
            dims[axis].dim_param = name
    _forget_output_sizes(model)


def _forget_output_sizes(model: onnx.ModelProto) -> None:
    """Exporters write stale or meaningless sizes there; four dimensions are all that is known before it is run."""
    shape = model.graph.output[0].type.tensor_type.shape
    del shape.dim[:]
    shape.dim.add().dim_value = 1
    for name in ("output_1", "output_2", "output_3"):
        shape.dim.add().dim_param = name


def without_fixed_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with a dynamic height and width. Whether it still runs at other sizes is for the caller to find out."""
    result = copied(model)
    dims = result.graph.input[0].type.tensor_type.shape.dim
    for axis, name in zip(spatial_axes(model), ("height", "width"), strict=True):
        dims[axis].ClearField("dim_value")
        dims[axis].dim_param = name
    _forget_output_sizes(result)
    return result


def fixed_size(model: onnx.ModelProto) -> Shape | None:
    """The height and width of the input that the graph states; None if either is dynamic."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    height, width = (dims[axis].dim_value for axis in spatial_axes(model))
    return Shape(height, width) if height and width else None


def fixed_batch(model: onnx.ModelProto) -> int:
    """The number of images that the graph takes at a time; 1 if that is dynamic."""
    images: int = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    return max(1, images)


def spatial_axes(model: onnx.ModelProto) -> tuple[int, int]:
    """Axes of height and width of the input, whose channels, one or three, are axis 1 or axis 3."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return (2, 3) if dims[1].dim_value in (1, 3) else (1, 2)
