"""Element types and shapes of all tensors in a graph, inferred by ONNX. Nothing else in the toolkit infers them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from toolkit.graph.editing import copied


@dataclass(frozen=True)
class TensorInfo:
    """What is known about a tensor without running the graph.

    Attributes:
        dtype: an `onnx.TensorProto.DataType`; 0 (UNDEFINED) where it cannot be inferred.
        sides: one number per dimension, 0 for a dimension that is not known; None where the rank is not known.
    """

    dtype: int
    sides: tuple[int, ...] | None

    @property
    def elements(self) -> int | None:
        """Number of elements; None where a dimension is not known."""
        return None if self.sides is None or 0 in self.sides else math.prod(self.sides)

    @property
    def nbytes(self) -> int | None:
        """Size in bytes; None where it is not known."""
        if self.elements is None or not self.dtype:
            return None
        return self.elements * int(onnx.helper.tensor_dtype_to_np_dtype(self.dtype).itemsize)


def inferred_tensors(model: onnx.ModelProto, frame: Sequence[int] | None = None) -> dict[str, TensorInfo]:
    """Every tensor that the graph names, by name: inputs, outputs, constants, and what nodes compute.

    Args:
        model: is not changed.
        frame: shape of the input; None: as the graph declares it, where dynamic dimensions stay unknown.

    Raises:
        Exception: whatever ONNX raises for a graph that is not valid; shapes that merely cannot be inferred are left
            out or have unknown dimensions.
    """
    sized = model if frame is None else _with_frame(model, frame)
    # With data propagation, sizes that the graph itself computes (Shape, Concat, Reshape) are known too.
    graph = onnx.shape_inference.infer_shapes(sized, data_prop=True).graph
    found = {tensor.name: TensorInfo(tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        sides = tuple(dim.dim_value for dim in tensor.shape.dim) if tensor.HasField("shape") else None
        found[value.name] = TensorInfo(tensor.elem_type, sides)
    return found


def small_frame(model: onnx.ModelProto, side: int) -> tuple[int, ...]:
    """Shape of one image that the graph takes: `side` pixels wherever its input is dynamic."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return (1, *(dim.dim_value or side for dim in dims[1:]))


def _with_frame(model: onnx.ModelProto, frame: Sequence[int]) -> onnx.ModelProto:
    """A copy whose input has this shape, without declared shapes that could contradict it."""
    sized = copied(model)
    for dim, side in zip(sized.graph.input[0].type.tensor_type.shape.dim, frame, strict=True):
        dim.dim_value = side
    for dim in sized.graph.output[0].type.tensor_type.shape.dim:
        if not dim.HasField("dim_value"):
            dim.Clear()
    del sized.graph.value_info[:]
    return sized
