"""The receptive field of a graph, and the memory that it needs per pixel.

Both decide how an image is upscaled in strips: a strip needs as many rows above and below it as the receptive field
reaches, and as many strips are made as memory requires.

Rows are tracked as arithmetic: for each tensor, row i depends on the input rows from step·i - above to step·i + below.
`step` is how many input rows one row stands for: 2 after a stride of 2, 1/2 after DepthToSpace(4) of that. Fractions
stay exact, which floats would not after a scale of 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx
from onnx import numpy_helper

from toolkit.graph.analysis.shapes import inferred_tensors, small_frame
from toolkit.graph.any_size import without_size_check
from toolkit.manifest_parts import Network

Attributes = dict[str, object]

_ELEMENTWISE = frozenset(
    {
        *("Abs", "Add", "Cast", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity"),
        *("LeakyRelu", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu"),
        *("Sigmoid", "Silu", "Softplus", "Sqrt", "Sub", "Sum", "Swish", "Tanh", "Where"),
        *("DequantizeLinear", "QuantizeLinear"),
    }
)
_PROBE = 64
"""Height and width, in pixels, of the image that memory is counted for."""


@dataclass(frozen=True)
class Locality:
    """Which input rows (and, as kernels are square, columns) an output row depends on.

    Output rows that stand for input row r depend on input rows r - above … r + below and on nothing else, as long as r
    is counted from a multiple of `alignment`.

    Attributes:
        above: input rows before.
        below: input rows after.
        alignment: pixels in which the graph works (2 with PixelUnshuffle(2)): where a strip may begin.
    """

    above: int
    below: int
    alignment: int


@dataclass(frozen=True)
class _Reach:
    """Of a tensor: row i depends on the input rows step·i - above to step·i + below. `axis`: where its rows are."""

    step: Fraction
    above: Fraction
    below: Fraction
    axis: int


@dataclass(frozen=True)
class WholeFrame:
    """An output row may depend on every input row: the graph must run on whole frames.

    Attributes:
        reason: the node that depends on the whole frame, or that is not known to be local.
    """

    reason: str


class _NotLocal(Exception):
    """A node depends on every row, or on rows that are not known; the message says why."""


def network_locality(model: onnx.ModelProto, network: Network) -> Locality | WholeFrame:
    """The receptive field of an artifact's graph.

    The manifest may state it, for graphs that the analysis does not understand. What the analysis finds is never made
    smaller by it: a strip with too few rows around it would show at its edges.
    """
    stated, found = network.receptive_field, locality(model)
    if stated == "whole frame":
        return WholeFrame("its manifest says that a pixel depends on the whole frame")
    if isinstance(found, WholeFrame):
        return found if stated is None else Locality(stated, stated, network.size_multiple)
    # A strip is an input of the graph: it begins where the graph's blocks do, and has a size that the graph takes.
    alignment = math.lcm(found.alignment, network.size_multiple)
    return Locality(max(found.above, stated or 0), max(found.below, stated or 0), alignment)


def locality(model: onnx.ModelProto) -> Locality | WholeFrame:
    """The receptive field of a graph's one output.

    Computed node by node: a convolution adds its kernel, in units of the step that the strides before it have left;
    DepthToSpace and Resize divide the step. Padding needs no special care: it lies outside the frame, and a strip at
    the edge of the frame has the same padding there. A node that is not known to be local (a mean over the frame, an
    unknown operator) makes it the whole frame: nothing is guessed.
    """
    graph = without_size_check(model).graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    image = graph.input[0]
    dims = image.type.tensor_type.shape.dim
    axis = 1 if len(dims) == 4 and dims[3].dim_value in (1, 3) and dims[1].dim_value not in (1, 3) else 2
    reaches = {image.name: _Reach(Fraction(1), Fraction(0), Fraction(0), axis)}
    alignment = 1
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(onnx.helper.get_node_attr_value(node, "value"))
            continue
        inputs = [reaches[name] for name in node.input if name in reaches]
        if not inputs:
            continue
        try:
            reach = _through(node, inputs, constants)
        except _NotLocal as reason:
            return WholeFrame(f"{node.name or node.op_type} ({node.op_type}) {reason}")
        alignment = math.lcm(alignment, reach.step.numerator)
        reaches |= dict.fromkeys(node.output, reach)
    result = reaches[graph.output[0].name]
    return Locality(max(0, math.ceil(result.above)), max(0, math.ceil(result.below)), alignment)


def _through(node: onnx.NodeProto, inputs: list[_Reach], constants: dict[str, np.ndarray]) -> _Reach:
    """The reach of a node's output."""
    attributes: Attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    reach = _union(inputs)
    if node.op_type in _ELEMENTWISE:
        return reach
    if node.op_type in {"Concat", "Split"}:
        if attributes.get("axis", 0) not in (_channel_axis(reach), _channel_axis(reach) - 4):
            raise _NotLocal("joins or splits an axis other than channels")
        return reach
    handler = _HANDLERS.get(node.op_type)
    if handler is None:
        raise _NotLocal("is not known to be local")
    return handler(reach, attributes, [constants.get(name) for name in node.input])


def _union(inputs: list[_Reach]) -> _Reach:
    steps, axes = {item.step for item in inputs}, {item.axis for item in inputs}
    if len(steps) > 1 or len(axes) > 1:
        raise _NotLocal("joins tensors of different resolutions")
    above, below = max(item.above for item in inputs), max(item.below for item in inputs)
    return _Reach(inputs[0].step, above, below, inputs[0].axis)


def _channel_axis(reach: _Reach) -> int:
    return 1 if reach.axis == 2 else 3


def _window(reach: _Reach, attributes: Attributes, kernel: int) -> _Reach:
    """A convolution or pooling of `kernel` rows: row i reads rows stride·i - pad to stride·i - pad + span."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        raise _NotLocal("pads automatically")
    if reach.axis != 2:
        raise _NotLocal("reads a layout that is not NCHW")
    stride = _first(attributes, "strides", 1)
    pad = _first(attributes, "pads", 0)
    span = (kernel - 1) * _first(attributes, "dilations", 1)
    return _Reach(
        reach.step * stride, reach.above + reach.step * pad, reach.below + reach.step * (span - pad), reach.axis
    )


def _first(attributes: Attributes, name: str, default: int) -> int:
    values = attributes.get(name)
    return int(values[0]) if isinstance(values, list) and values else default


def _conv(reach: _Reach, attributes: Attributes, constants: list[np.ndarray | None]) -> _Reach:
    shape = attributes.get("kernel_shape")
    weights = constants[1]
    if isinstance(shape, list):
        return _window(reach, attributes, int(shape[0]))
    if weights is None:
        raise _NotLocal("has no constant kernel")
    return _window(reach, attributes, weights.shape[2])


def _pool(reach: _Reach, attributes: Attributes, _constants: list[np.ndarray | None]) -> _Reach:
    return _window(reach, attributes, _first(attributes, "kernel_shape", 1))


def _finer(reach: _Reach, by: int) -> _Reach:
    """Every row becomes `by` rows: row i comes from row i // by.

    step·(i // by) lies between step/by·i - step/by·(by - 1) and step/by·i, hence the addition to `above`.
    """
    step = reach.step / by
    return _Reach(step, reach.above + step * (by - 1), reach.below, reach.axis)


def _depth_to_space(reach: _Reach, attributes: Attributes, _constants: list[np.ndarray | None]) -> _Reach:
    return _finer(reach, _integer(attributes, "blocksize"))


def _space_to_depth(reach: _Reach, attributes: Attributes, _constants: list[np.ndarray | None]) -> _Reach:
    by = _integer(attributes, "blocksize")
    return _Reach(reach.step * by, reach.above, reach.below + reach.step * (by - 1), reach.axis)


def _integer(attributes: Attributes, name: str) -> int:
    value = attributes[name]
    if not isinstance(value, int):
        raise _NotLocal(f"has no {name}")
    return value


def _resize(reach: _Reach, attributes: Attributes, constants: list[np.ndarray | None]) -> _Reach:
    scales = constants[2] if len(constants) > 2 else None
    if attributes.get("mode", b"nearest") != b"nearest" or scales is None or scales.size != 4:
        raise _NotLocal("interpolates")
    by = float(scales[reach.axis])
    if by < 1 or by != int(by):
        raise _NotLocal("does not scale by a whole number")
    # Whatever the rounding and coordinate modes, nearest reads the row itself or one next to it.
    finer = _finer(reach, int(by))
    return _Reach(finer.step, finer.above + reach.step, finer.below + reach.step, reach.axis)


def _pad(reach: _Reach, _attributes: Attributes, constants: list[np.ndarray | None]) -> _Reach:
    pads = constants[1] if len(constants) > 1 else None
    if pads is None or pads.size != 8:
        raise _NotLocal("pads by an amount that is not constant")
    before = int(pads[reach.axis])
    return _Reach(reach.step, reach.above + reach.step * before, reach.below - reach.step * before, reach.axis)


def _reduce(reach: _Reach, attributes: Attributes, constants: list[np.ndarray | None]) -> _Reach:
    given = constants[1] if len(constants) > 1 else None
    axes = given.reshape(-1).tolist() if given is not None else attributes.get("axes")
    if not isinstance(axes, list) or {axis % 4 for axis in axes} - {0} != {_channel_axis(reach)}:
        raise _NotLocal("reads the whole frame")
    return reach


def _transpose(reach: _Reach, attributes: Attributes, _constants: list[np.ndarray | None]) -> _Reach:
    order = attributes.get("perm")
    if not isinstance(order, list) or len(order) != 4 or order.index(reach.axis) not in (1, 2):
        raise _NotLocal("reorders rows")
    return _Reach(reach.step, reach.above, reach.below, order.index(reach.axis))


def _layer_norm(reach: _Reach, attributes: Attributes, _constants: list[np.ndarray | None]) -> _Reach:
    if reach.axis != 1 or attributes.get("axis", -1) not in (-1, 3):
        raise _NotLocal("reads the whole frame")
    return reach


_HANDLERS: dict[str, Callable[[_Reach, Attributes, list[np.ndarray | None]], _Reach]] = {
    "AveragePool": _pool,
    "Conv": _conv,
    "DepthToSpace": _depth_to_space,
    "LayerNormalization": _layer_norm,
    "MaxPool": _pool,
    "Pad": _pad,
    "ReduceMean": _reduce,
    "ReduceSum": _reduce,
    "Resize": _resize,
    "SpaceToDepth": _space_to_depth,
    "Transpose": _transpose,
}


def bytes_per_pixel(model: onnx.ModelProto) -> float:
    """Largest number of bytes of tensors that exist at once while the graph runs, per input pixel.

    Input and output are included. Each tensor exists from the node that computes it to the last one that reads it, as
    in a runtime that frees memory as soon as it can. Tensors of unknown size count as nothing.
    """
    graph, frame = model.graph, small_frame(model, _PROBE)
    tensors = inferred_tensors(model, frame)
    sizes = {name: info.nbytes or 0 for name, info in tensors.items()}
    for constant in graph.initializer:
        sizes[constant.name] = 0
    last = {name: index for index, node in enumerate(graph.node) for name in node.input}
    last |= dict.fromkeys((value.name for value in graph.output), len(graph.node))
    alive = most = sizes.get(graph.input[0].name, 0)
    for index, node in enumerate(graph.node):
        alive += sum(sizes.get(name, 0) for name in node.output)
        most = max(most, alive)
        alive -= sum(sizes.get(name, 0) for name in dict.fromkeys(node.input) if last[name] == index)
    return float(most / (math.prod(frame) / 3))
