"""The least work that one frame takes: multiply-adds, other operations, and bytes moved."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import onnx
from onnx import numpy_helper

from toolkit.artifact import Artifact, Manifest
from toolkit.errors import InputError
from toolkit.graph.analysis.shapes import TensorInfo, inferred_tensors
from toolkit.graph.reading import read_model
from toolkit.system.foreign import foreign
from toolkit.workloads import Shape

_MOVING = {
    *("Cast", "Concat", "Constant", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape"),
    *("Shape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"),
}
"""Operators that compute nothing."""

_MULTIPLYING = {"Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "MatMul", "MatMulInteger", "Gemm"}
_REDUCING = {"ReduceMean", "ReduceSum", "ReduceMax", "GlobalAveragePool", "AveragePool", "LayerNormalization"}
"""Operators that read every element of their input."""


class Work(msgspec.Struct, frozen=True):
    """Work for one frame.

    Attributes:
        multiply_adds: of convolutions and matrix products.
        elementwise: one operation for every element that any other node computes, or reads in order to reduce it.
        least_bytes: what must be moved even if everything in between stays in caches: the input, the output, and every
            weight once, in the types that the graph stores.
        weight_bytes: the part of `least_bytes` that is weights.
        avoided: of `multiply_adds`, those that a runtime does without (`Runtime.avoided_multiply_adds`).
    """

    multiply_adds: int
    elementwise: int
    least_bytes: int
    weight_bytes: int
    avoided: int = 0

    @property
    def executed(self) -> int:
        """Multiply-adds that a runtime executes."""
        return self.multiply_adds - self.avoided

    @property
    def operations(self) -> int:
        """Operations in total; a multiply-add counts as two."""
        return 2 * self.multiply_adds + self.elementwise


def count_work(artifact: Artifact, shape: Shape) -> Work:
    """Count the work of an artifact's graph for a frame of `shape`, without running it.

    Raises:
        InputError: the graph's shapes cannot be inferred.
    """
    manifest = artifact.manifest
    inner = shape if manifest.shape else manifest.sizes.extended(shape)
    given = manifest.input.frame_shape(inner)
    returned = manifest.output.frame_shape(inner.upscaled(manifest.network.scale))
    model = read_model(artifact.path)
    with foreign(f"cannot count what {artifact.path} computes"):
        return _counted(model, manifest, given, returned)


def _counted(model: onnx.ModelProto, manifest: Manifest, given: tuple[int, ...], returned: tuple[int, ...]) -> Work:
    tensors = inferred_tensors(model, given)
    additions = elementwise = 0
    for node in model.graph.node:
        counted = multiply_adds(node, tensors)
        additions += counted
        if not counted and node.op_type not in _MOVING:
            looked_at = node.input[0] if node.op_type in _REDUCING else node.output[0]
            elementwise += math.prod(_known(tensors, looked_at))
    stored = moved = sum(numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)
    for sides, port in ((given, manifest.input), (returned, manifest.output)):
        moved += math.prod(sides) * port.itemsize
    return Work(additions, elementwise, moved, stored)


def multiply_adds(node: onnx.NodeProto, tensors: Mapping[str, TensorInfo]) -> int:
    """Multiply-adds of a convolution or matrix product; 0 for other nodes.

    The only such counter for graphs. Before there is a graph, `toolkit.network.complexity` has PyTorch count a network.

    Args:
        node: of the graph that `tensors` belongs to.
        tensors: see `inferred_tensors`.

    Raises:
        InputError: a shape is not known.
    """
    if node.op_type not in _MULTIPLYING:
        return 0
    outputs = math.prod(_known(tensors, node.output[0]))
    match node.op_type:
        case "Conv" | "ConvInteger":
            return outputs * math.prod(_known(tensors, node.input[1])[1:])
        case "QLinearConv":
            return outputs * math.prod(_known(tensors, node.input[3])[1:])
        case "ConvTranspose":
            return math.prod(_known(tensors, node.input[0])) * math.prod(_known(tensors, node.input[1])[1:])
        case _:
            transposed = any(item.name == "transA" and item.i for item in node.attribute)
            return outputs * _known(tensors, node.input[0])[-2 if transposed else -1]


def _known(tensors: Mapping[str, TensorInfo], name: str) -> tuple[int, ...]:
    found = tensors.get(name)
    if found is None or found.sides is None or 0 in found.sides:
        raise InputError(f"the shape of {name} cannot be inferred from this graph", "Export it again.")
    return found.sides
