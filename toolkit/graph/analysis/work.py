"""What a graph asks of a machine at least: operations, and bytes moved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import onnx
from onnx import numpy_helper

from toolkit.artifact import Artifact, Manifest, frame_shape
from toolkit.errors import InputError
from toolkit.graph.reading import read_model
from toolkit.network.padding import padded_size
from toolkit.system.foreign import foreign
from toolkit.workloads import Shape

_MOVING = {
    *("Cast", "Concat", "Constant", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape"),
    *("Shape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"),
}
"""Operators that compute nothing."""

_REDUCING = {"ReduceMean", "ReduceSum", "ReduceMax", "GlobalAveragePool", "AveragePool", "LayerNormalization"}
"""Operators that look at every element of their input."""


class Work(msgspec.Struct, frozen=True):
    """Of one frame.

    `multiply_adds` of convolutions and matrix products; `elementwise`, one operation for every element that another
    node computes, or reads to reduce it; `least_bytes`, what must be moved however well everything in between is kept
    in caches: the input, the output, and every weight once, in the types that the graph stores; `weight_bytes` of that.
    """

    multiply_adds: int
    elementwise: int
    least_bytes: int
    weight_bytes: int

    @property
    def operations(self) -> int:
        """A multiply-add is two."""
        return 2 * self.multiply_adds + self.elementwise


def count_work(artifact: Artifact, shape: Shape) -> Work:
    """Count for a frame of `shape`; nothing is computed.

    Raises:
        InputError: the graph's shapes cannot be inferred.
    """
    manifest = artifact.manifest
    inner = shape if manifest.shape else Shape(*(padded_size(side, manifest.smallest) for side in shape.sides))
    given = frame_shape(inner, manifest.input.layout)
    returned = frame_shape(inner.upscaled(manifest.network.scale), manifest.output.layout)
    model = read_model(artifact.path)
    with foreign(f"cannot count what {artifact.path} computes"):
        return _counted(_sized(model, given), manifest, given, returned)


def _counted(model: onnx.ModelProto, manifest: Manifest, given: tuple[int, ...], returned: tuple[int, ...]) -> Work:
    shapes = _shapes(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    multiply_adds = elementwise = 0
    for node in model.graph.node:
        counted = _multiply_adds(node, shapes)
        multiply_adds += counted
        if not counted and node.op_type not in _MOVING:
            looked_at = node.input[0] if node.op_type in _REDUCING else node.output[0]
            elementwise += math.prod(_known(shapes, looked_at))
    stored = moved = sum(numpy_helper.to_array(tensor).nbytes for tensor in weights.values())
    for sides, port in ((given, manifest.input), (returned, manifest.output)):
        moved += math.prod(sides) * (1 if port.dtype == "uint8" else 4)
    return Work(multiply_adds, elementwise, moved, stored)


def _multiply_adds(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Of a node that multiplies and adds; 0 of others."""
    outputs = math.prod(_known(shapes, node.output[0])) if node.output else 0
    match node.op_type:
        case "Conv" | "ConvInteger":
            return outputs * math.prod(_known(shapes, node.input[1])[1:])
        case "QLinearConv":
            return outputs * math.prod(_known(shapes, node.input[3])[1:])
        case "ConvTranspose":
            return math.prod(_known(shapes, node.input[0])) * math.prod(_known(shapes, node.input[1])[1:])
        case "MatMul" | "MatMulInteger" | "Gemm":
            transposed = any(item.name == "transA" and item.i for item in node.attribute)
            return outputs * _known(shapes, node.input[0])[-2 if transposed else -1]
        case _:
            return 0


def _sized(model: onnx.ModelProto, sides: tuple[int, ...]) -> onnx.ModelProto:
    """The graph with its input's size written in, and no other that could contradict it."""
    for dim, side in zip(model.graph.input[0].type.tensor_type.shape.dim, sides, strict=True):
        dim.dim_value = side
    for dim in model.graph.output[0].type.tensor_type.shape.dim:
        if not dim.HasField("dim_value"):
            dim.Clear()
    del model.graph.value_info[:]
    return model


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = inferred.graph
    found: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for item in (*graph.input, *graph.value_info, *graph.output):
        found[item.name] = tuple(dim.dim_value for dim in item.type.tensor_type.shape.dim)
    return found


def _known(shapes: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, ...]:
    sides = shapes.get(name, (0,))
    if 0 in sides:
        raise InputError(f"the shape of {name} cannot be inferred from this graph", "Export it again.")
    return sides
