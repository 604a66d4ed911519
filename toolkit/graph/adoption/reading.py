"""Reads an ONNX graph that another program wrote, with the weights beside it, and refuses what is no image network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.external_data_helper
import onnx.inliner
from onnx import TensorProto

from toolkit.errors import InputError
from toolkit.graph.protos import MOST_NODES, has_subgraphs, opset_version, stored_tensors
from toolkit.manifest_parts import is_plain_name
from toolkit.quoting import visible
from toolkit.system.foreign import foreign

OLDEST_OPSET = 11
"""Before it, Resize, Pad and Clip were other operators."""

_LARGEST_FILE = 512 << 20
_LARGEST_SIDE = 1 << 14
"""Pixels of a fixed height or width; 8K has 7680."""
_PREVIEW = 4
"""Names that a message lists."""

_IMAGE_TYPES = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16, TensorProto.UINT8}
_RANDOM = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
_QUANTISED = {"ConvInteger", "DequantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QuantizeLinear"}


def read_graph(path: Path) -> onnx.ModelProto:
    """A graph with all its weights in memory, one image in and one image out, and no parts that are not operators.

    Args:
        path: of an .onnx file. Weights in other files must lie in its own folder.

    Raises:
        InputError: it is no ONNX file, too large, or no network from one image to one image. The message names the node
            or tensor and says what would help.
    """
    if not path.stat().st_size:
        raise InputError(f"{path} is empty", "Download or export it again.")
    if path.stat().st_size > _LARGEST_FILE:
        raise InputError(f"{path} has {path.stat().st_size >> 20} MiB, more than {_LARGEST_FILE >> 20}")
    with foreign(f"{path} is no ONNX file", "Give the .onnx file of an image network."):
        model = onnx.load(path, load_external_data=False)
    _load_weights(model, path)
    with foreign(f"{path} has functions that cannot be inlined", "Export it without functions."):
        model = onnx.inliner.inline_local_functions(model)
    named = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in named]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    _check_nodes(model, path)
    _read_dynamic(model)
    _check_ends(model, path)
    _check_edges(model, path)
    # Before anything reads constants, whose declared sizes may be negative or larger than any memory.
    with foreign(f"{path} is not a valid ONNX graph", "Export it again.", InputError):
        onnx.checker.check_model(model)
    _check_weights(model, path)
    return model


def _load_weights(model: onnx.ModelProto, path: Path) -> None:
    """Read the tensors that lie in other files: files of the same folder, and never more than a graph may have."""
    outside = [tensor for tensor in stored_tensors(model) if tensor.data_location == TensorProto.EXTERNAL]
    places = [_beside(path, tensor) for tensor in outside]
    if sum(place.stat().st_size for place in set(places) if place.is_file()) > _LARGEST_FILE:
        raise InputError(f"the weights beside {path} are too large: more than {_LARGEST_FILE >> 20} MiB")
    for tensor, place in zip(outside, places, strict=True):
        with foreign(f"cannot read {tensor.name} of {path}", f"Put {place.name} beside it, as it was exported."):
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _beside(path: Path, tensor: TensorProto) -> Path:
    """The file of a tensor's values, which must be a regular file in the folder of the graph."""
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    place = path.parent / location
    if not is_plain_name(location) or place.is_symlink():
        raise InputError(
            f"{path} keeps {tensor.name} in {visible(location)!r}, which is not a file beside it",
            "Export it again with its weights in one file, or in a file of the same folder.",
        )
    return place


def _check_nodes(model: onnx.ModelProto, path: Path) -> None:
    if len(model.graph.node) > MOST_NODES:
        raise InputError(f"{path} has {len(model.graph.node)} nodes, more than {MOST_NODES}")
    for node in model.graph.node:
        title = _title(node)
        if has_subgraphs(node):
            raise InputError(
                f"{path}: {title} is control flow", "Export the network for one path, without If and Loop."
            )
        if node.domain not in ("", "ai.onnx"):
            raise InputError(
                f"{path}: {title} is an operator of {node.domain}, which ONNX does not define",
                "Export it without an optimizer's own operators.",
            )
        if node.op_type in _RANDOM:
            raise InputError(
                f"{path}: {title} is random, so that no two results can be compared",
                "Export the network for inference.",
            )
        if node.op_type in _QUANTISED:
            raise InputError(
                f"{path}: {title} makes it a quantised graph", "Use the float graph that it was quantised from."
            )
    if (opset := opset_version(model)) < OLDEST_OPSET:
        raise InputError(f"{path} has opset {opset}, the oldest that is read is {OLDEST_OPSET}", "Export it again.")


def _check_edges(model: onnx.ModelProto, path: Path) -> None:
    """Every node reads what earlier nodes computed. (onnx.checker also finds this, but does not name the cause.)"""
    graph = model.graph
    computed = {name for node in graph.node for name in node.output}
    known = {"", *(value.name for value in (*graph.input, *graph.initializer))}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    for node in graph.node:
        for name in (name for name in node.input if name not in known):
            reason = (
                "which is computed after it: the graph has a cycle, or its nodes are not in order"
                if name in computed
                else "which nothing in the graph computes"
            )
            raise InputError(f"{path}: {_title(node)} reads {visible(name)!r}, {reason}", "Export it again.")
        known |= set(node.output)
    if (result := graph.output[0].name) not in known:
        raise InputError(f"{path}: nothing in the graph computes its output {result}", "Export it again.")


def _title(node: onnx.NodeProto) -> str:
    return f"{node.name or ''.join(node.output[:1]) or 'a node'} ({node.op_type})"


def _check_weights(model: onnx.ModelProto, path: Path) -> None:
    """Weights that are no numbers make every result one; an infinite constant may be a limit, and is left to the
    experiments."""
    for tensor in stored_tensors(model):
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise InputError(
                f"{path}: {tensor.name or 'a constant'} contains NaN",
                "Export the weights of an iteration before training failed.",
            )


def _read_dynamic(model: onnx.ModelProto) -> None:
    """Some exporters write -1 for a dynamic size."""
    for dim in (dim for value in model.graph.input for dim in value.type.tensor_type.shape.dim):
        if dim.dim_value == -1:
            dim.Clear()


def _check_ends(model: onnx.ModelProto, path: Path) -> None:
    for what, ends in (("input", model.graph.input), ("output", model.graph.output)):
        for end in ends:
            if not end.type.HasField("tensor_type"):
                raise InputError(f"{path}: {what} {end.name} is no tensor", "Export a network from image to image.")
            if len(end.type.tensor_type.shape.dim) == 5:
                raise InputError(f"{path}: {what} {end.name} has five dimensions: it is a network for video")
        if len(ends) != 1:
            names = ", ".join(end.name for end in ends[:_PREVIEW])
            raise InputError(
                f"{path} has {len(ends)} {what}s ({names}), not one image", f"Export it with one image as its {what}."
            )
        tensor = ends[0].type.tensor_type
        if len(tensor.shape.dim) not in (0, 4) or (what == "input" and len(tensor.shape.dim) != 4):
            raise InputError(f"{path}: {what} {ends[0].name} has {len(tensor.shape.dim)} dimensions, an image has four")
        _check_sides(
            f"{path}: {what} {ends[0].name}", [dim.dim_value for dim in tensor.shape.dim], is_input=what == "input"
        )
        if tensor.elem_type not in _IMAGE_TYPES:
            raise InputError(
                f"{path}: {what} {ends[0].name} is {TensorProto.DataType.Name(tensor.elem_type)}, "
                "which is no type of an image",
                "Export it with float or uint8 images.",
            )


def _check_sides(title: str, sides: list[int], *, is_input: bool) -> None:
    """Whether these can be the dimensions of an image; 0 is dynamic."""
    if is_input and not {1, 3} & {sides[1], sides[3]}:
        raise InputError(
            f"{title} is {[side or '?' for side in sides]}: neither axis 1 nor axis 3 is one or three channels",
            "Export a network that takes RGB or luma; transparency is upscaled apart.",
        )
    if is_input and min(sides) < 0:
        raise InputError(f"{title} is {sides}: a dimension is negative", "Export it with dynamic height and width.")
    if max(sides, default=0) > _LARGEST_SIDE:
        raise InputError(
            f"{title} has {max(sides)} pixels along one axis, more than {_LARGEST_SIDE}",
            "Export it with dynamic height and width.",
        )
