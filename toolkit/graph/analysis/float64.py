"""Graphs in float64: retyped between float32 and float64, evaluated in float64, and compared constant by constant.

Whether a rewrite keeps the function is decided in float64 only. float32 results differ between CPUs in their last
digits, and a network amplifies the differences: no bound separates a small fault from rounding on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.errors import CheckFailed
from toolkit.graph.editing import copied
from toolkit.graph.protos import stored_tensors

_FLOAT, _DOUBLE = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE


def in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float64 graph as it is stored: every float64 tensor, constant and cast becomes float32, rounded to nearest."""
    return _retyped(model, _DOUBLE, _FLOAT)


def in_float64(model: onnx.ModelProto) -> onnx.ModelProto:
    """A float32 graph with the same constants, widened exactly, that computes in float64.

    What ONNX only defines as float32, such as the scales of Resize, stays float32.
    """
    return _retyped(model, _FLOAT, _DOUBLE)


def float64_function(model: onnx.ModelProto) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A float64 graph as a function from its one input to its first output, by ONNX's reference implementation.

    Its Erf rounds to float32 whatever its input is, and Gelu is computed with it: both are replaced by float64 ones.
    Its Conv loops over pixels in Python, which takes minutes for 64 channels: it is replaced by one matrix product per
    element of the kernel. It keeps every tensor until the end, which are gigabytes for hundreds of convolutions: here
    each is released after its last use.
    """
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    class Erf(OpRun):
        def _run(self, x: NDArray[Any]) -> tuple[NDArray[Any]]:
            return (_erf(x),)

    class Gelu(OpRun):
        def _run(self, x: NDArray[Any], approximate: str | None = None) -> tuple[NDArray[Any]]:
            if approximate == "tanh":
                inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
                return (0.5 * x * (1 + np.tanh(inner)),)
            return (0.5 * x * (1 + _erf(x * math.sqrt(0.5))),)

    class Conv(OpRun):
        def _run(
            self,
            x: NDArray[Any],
            w: NDArray[Any],
            b: NDArray[Any] | None = None,
            auto_pad: str | None = None,
            dilations: list[int] | None = None,
            group: int | None = None,
            kernel_shape: list[int] | None = None,
            pads: list[int] | None = None,
            strides: list[int] | None = None,
        ) -> tuple[NDArray[Any]]:
            if auto_pad not in (None, "", "NOTSET") or x.ndim != 4:
                raise NotImplementedError(f"Conv with {x.ndim - 2} axes, auto_pad {auto_pad} has no float64 form")
            return (_conv(x, w, b, pads or [0] * 4, strides or [1, 1], dilations or [1, 1], group or 1),)

    evaluator = ReferenceEvaluator(model, new_ops=[Conv, Erf, Gelu])
    given, returned = model.graph.input[0].name, model.graph.output[0].name
    released = _last_uses(model, returned)

    def function(frame: NDArray[Any]) -> NDArray[Any]:
        tensors: dict[str, Any] = {"": None, **evaluator.rt_inits_, given: np.ascontiguousarray(frame)}
        with quiet_overflow():
            for node, unused in zip(evaluator.rt_nodes_, released, strict=True):
                results = node.run(*(tensors[name] for name in node.input))
                tensors.update(zip(node.output, results, strict=False))
                for name in unused:
                    tensors.pop(name, None)
        return np.asarray(tensors[returned])

    return function


def _last_uses(model: onnx.ModelProto, returned: str) -> list[list[str]]:
    """For each node, the tensors that no later node reads."""
    seen = {returned, ""}
    released = []
    for node in reversed(model.graph.node):
        unused = {*node.input, *node.output} - seen
        seen |= unused
        released.append(sorted(unused))
    return released[::-1]


def quiet_overflow() -> np.errstate:
    """No warnings of NumPy while the reference implementation runs: its Sigmoid overflows in values that it drops. What
    leaves the range of a type shows in the result."""
    return np.errstate(invalid="ignore", over="ignore")


def largest_rounding(exact: onnx.ModelProto, stored: onnx.ModelProto) -> float:
    """Largest relative distance of a float32 graph's constants from the float64 graph that it was rounded from.

    Rounding to nearest is at most 2^-24 off, relative to the value or to the smallest normal float32. Constants that
    are not float64 in `exact`, such as sizes and indices, must be the same.

    Raises:
        CheckFailed: the graphs differ in more than their types and constants, or in a constant that is no rounding.
    """
    if _structure(exact) != _structure(stored):
        raise CheckFailed("the float32 graph has other nodes than the float64 graph that was checked")
    distances = [0.0]
    for ours, theirs in zip(stored_tensors(exact), stored_tensors(stored), strict=True):
        wide, narrow = onnx.numpy_helper.to_array(ours), onnx.numpy_helper.to_array(theirs)
        if wide.dtype != np.float64:
            if wide.dtype != narrow.dtype or not np.array_equal(wide, narrow):
                raise CheckFailed(f"constant {ours.name} of the float32 graph differs from the graph that was checked")
            continue
        if narrow.dtype != np.float32 or wide.shape != narrow.shape:
            raise CheckFailed(f"constant {ours.name} is not stored as float32 {wide.shape}")
        if wide.size:
            size = np.maximum(np.abs(wide), np.finfo(np.float32).tiny)
            distances.append(float((np.abs(narrow.astype(np.float64) - wide) / size).max()))
    # numpy's max, unlike Python's, does not lose a NaN.
    return float(np.max(distances))


def _erf(x: NDArray[Any]) -> NDArray[Any]:
    return np.vectorize(math.erf, otypes=[x.dtype])(x) if x.size else x


def _conv(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    pads: list[int],
    strides: list[int],
    dilations: list[int],
    group: int,
) -> NDArray[Any]:
    """ONNX's Conv on (N, C, H, W): for each element of the kernel, a product of its (O, C) matrix with the pixels it
    meets, summed in the type of `x`."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    out, inner, rows, columns = weight.shape
    height = (padded.shape[2] - (rows - 1) * dilations[0] - 1) // strides[0] + 1
    width = (padded.shape[3] - (columns - 1) * dilations[1] - 1) // strides[1] + 1
    result = np.zeros((x.shape[0], out, height, width), x.dtype)
    for part in range(group):
        kernels = weight[part * (out // group) : (part + 1) * (out // group)]
        pixels = padded[:, part * inner : (part + 1) * inner]
        made = result[:, part * (out // group) : (part + 1) * (out // group)]
        for row in range(rows):
            for column in range(columns):
                first, second = row * dilations[0], column * dilations[1]
                met = pixels[
                    :,
                    :,
                    first : first + (height - 1) * strides[0] + 1 : strides[0],
                    second : second + (width - 1) * strides[1] + 1 : strides[1],
                ]
                made += np.tensordot(met, kernels[:, :, row, column], axes=(1, 1)).transpose(0, 3, 1, 2)
    return result if bias is None else result + bias.reshape(1, -1, 1, 1)


def _retyped(model: onnx.ModelProto, before: int, after: int) -> onnx.ModelProto:
    result = copied(model)
    graph = result.graph
    fixed = _float32_by_definition(result) if before == _FLOAT else set()
    for tensor in graph.initializer:
        if tensor.name not in fixed:
            _retype(tensor, before, after)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == before:
            value.type.tensor_type.elem_type = after
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == before:
                attribute.i = after
            if attribute.HasField("t") and not set(node.output) & fixed:
                _retype(attribute.t, before, after)
    return result


def _retype(tensor: onnx.TensorProto, before: int, after: int) -> None:
    if tensor.data_type != before:
        return
    with np.errstate(over="ignore"):  # an infinite constant is seen by whoever compares them
        values = onnx.numpy_helper.to_array(tensor).astype(onnx.helper.tensor_dtype_to_np_dtype(after))
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def _float32_by_definition(model: onnx.ModelProto) -> set[str]:
    """Names of tensors that feed inputs whose only type is float32, such as the scales of Resize."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    found: set[str] = set()
    for node in model.graph.node:
        schema = onnx.defs.get_schema(node.op_type, versions.get(node.domain, 1), node.domain)
        formal = list(schema.inputs)
        for index, name in enumerate(node.input):
            if formal[min(index, len(formal) - 1)].type_str == "tensor(float)":
                found.add(name)
    return found


def _structure(model: onnx.ModelProto) -> list[tuple[Any, ...]]:
    """Nodes and ends of a graph without the types and constants that rounding changes."""
    ends = [(value.name, _dimensions(value)) for value in (*model.graph.input, *model.graph.output)]
    nodes = [
        (node.domain, node.op_type, node.name, *node.input, "->", *node.output, *_attributes(node))
        for node in model.graph.node
    ]
    return [*ends, *nodes, tuple(tensor.name for tensor in stored_tensors(model))]


def _attributes(node: onnx.NodeProto) -> list[bytes]:
    return [
        attribute.SerializeToString(deterministic=True)
        for attribute in node.attribute
        if not attribute.HasField("t") and (node.op_type, attribute.name) != ("Cast", "to")
    ]


def _dimensions(value: onnx.ValueInfoProto) -> bytes:
    content: bytes = value.type.tensor_type.shape.SerializeToString(deterministic=True)
    return content
