"""Merge reparameterizable blocks on the graph, whatever network they belong to, and prove each merge.

Blocks that are trained as several convolutions and used as one (Conv3XC of SPAN, RRRB, RepVGG, ECB, DBB, RRB of RT4KSR)
are affine: so are their batch norms, constant scales, skips and paddings. Such a part of a graph is one convolution
away from its borders. Whether it is that at the borders too depends on where zeros are padded: a 1x1 convolution with a
bias turns the picture's surroundings into its bias, and zeros padded after it are then a fault that reaches inwards.

The kernel is read off the part itself, evaluated in float64 at unit impulses, so that no merging rule per architecture
is needed. The proof is that of `verify-fusion`: an affine map with a bounded stencil equals a convolution for every
input of every size exactly if both agree on zero and on every impulse, in the interior and in every border case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.graph.analysis.affine import Region, affine_regions, padding
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.analysis.shapes import inferred_tensors
from toolkit.graph.editing import add_constant, named_node, remove_unused_nodes
from toolkit.graph.matching import constant
from toolkit.graph.passes.base import GraphPass
from toolkit.network.impulses import BLOCK_BOUND, zero_and_impulses

_BATCH = 256
_LARGEST_KERNEL = 31
_LARGEST_CHANNELS = 1024

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Merge:
    """A part of a graph that became one convolution.

    Attributes:
        name: of the new convolution.
        nodes: names of the nodes that it stands for.
        kernel: rows and columns.
        removed: multiply-adds per pixel of the nodes that went.
        merged: multiply-adds per pixel of the convolution.
        impulses: how many inputs were compared.
        error: largest difference, relative to the largest response, in float64.
    """

    name: str
    nodes: tuple[str, ...]
    kernel: tuple[int, int]
    removed: int
    merged: int
    impulses: int
    error: float


@dataclass(frozen=True)
class _Difference:
    """Where a region and its one convolution are furthest apart."""

    impulses: int
    error: float
    size: tuple[int, int]
    channel: int
    row: int
    column: int

    def __str__(self) -> str:
        height, width = self.size
        return (
            f"at row {self.row}, column {self.column}, channel {self.channel} of a {width}x{height} input it differs "
            f"by {self.error:.1e} of the largest value (bound {BLOCK_BOUND:.0e})"
        )


class MergeAffine(GraphPass):
    """Replace affine parts of a graph by one convolution each, where that costs fewer multiply-adds.

    Requires: nothing. Parts that differ at their borders are left, with the place and size of the difference.
    Ensures: every merge was proved in float64.

    Attributes:
        merges: what was merged, in the order of the graph.
    """

    title = "affine parts as one convolution"

    def __init__(self) -> None:
        super().__init__()
        self.merges: list[Merge] = []

    def requires(self, model: ir.Model) -> None:
        names = [node.name for node in model.graph]
        if not all(names) or len(set(names)) != len(names):
            raise ir.passes.PreconditionError("nodes without a name of their own")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        refused: dict[tuple[str, str], tuple[str, str]] = {}
        while self._merge_best(model, refused):
            pass
        # What could not be merged as a whole or from within, but was merged from another tensor, is merged.
        merged = {name for merge in self.merges for name in merge.nodes}
        self.refused |= {name: reason for name, reason in refused.values() if name not in merged}
        order = {node.name: index for index, node in enumerate(model.graph)}
        # A convolution may have become part of a larger merge.
        self.merges = sorted(
            (merge for merge in self.merges if merge.name in order), key=lambda merge: order[merge.name]
        )
        return ir.passes.PassResult(model, modified=bool(self.merges))

    def _merge_best(self, model: ir.Model, refused: dict[tuple[str, str], tuple[str, str]]) -> bool:
        """Merge the region that saves most, of those that can be merged; false if there is none.

        Args:
            model: is changed.
            refused: node and reason of regions that cannot be merged, by their ends; those found are added.
        """
        for region in affine_regions(model, _channels(model)):
            if (ends := _ends(region)) not in refused:
                name = str(region.nodes[-1].name)
                if not (reason := self._merge(model, region)):
                    return True
                refused[ends] = name, reason
        return False

    def _merge(self, model: ir.Model, region: Region) -> str:
        """Merge a region; else the reason why not."""
        name = str(region.nodes[-1].name)
        if max(region.kernel) > _LARGEST_KERNEL or region.source_channels > _LARGEST_CHANNELS:
            return f"a {region.kernel} kernel over {region.source_channels} channels is too large"
        original = _function(model, region)
        weight, bias = _kernel(original, region)
        difference = _worst(original, _convolution(region, weight, bias), region)
        if not difference.error <= BLOCK_BOUND:
            return f"{len(region.nodes)} nodes are not one convolution: {difference}"
        merge = Merge(
            name,
            tuple(str(node.name) for node in region.nodes),
            region.kernel,
            region.removed,
            region.merged,
            difference.impulses,
            difference.error,
        )
        _replace(model, region, weight, bias)
        self.merges.append(merge)
        return ""


def _ends(region: Region) -> tuple[str, str]:
    return str(region.source.name), str(region.target.name)


def _channels(model: ir.Model) -> dict[str, int]:
    """Channels of tensors with four dimensions, as far as shape inference finds them."""
    sides = {name: tensor.sides for name, tensor in inferred_tensors(ir.to_proto(model)).items()}
    return {name: known[1] for name, known in sides.items() if known and len(known) == 4 and known[1]}


def _dtype(region: Region) -> np.dtype[np.generic]:
    """Of the region's weights, and so of its tensors: graphs need not state those."""
    weights = (constant(node.inputs[1]) for node in region.nodes if node.op_type == "Conv")
    return next(weight.dtype for weight in weights if weight is not None)


def _function(model: ir.Model, region: Region) -> Function:
    """A region as a float64 function of its source."""
    proto = ir.to_proto(model)
    names, ends = {node.name for node in region.nodes}, _ends(region)
    nodes = [node for node in proto.graph.node if node.name in names]
    read = {name for node in nodes for name in node.input}
    makers = [node for node in proto.graph.node if node.op_type == "Constant" and node.output[0] in read]
    kind = ir.DataType.from_numpy(_dtype(region))
    graph = onnx.helper.make_graph(
        [*makers, *nodes],
        "region",
        [onnx.helper.make_tensor_value_info(ends[0], kind, ["n", region.source_channels, "h", "w"])],
        [onnx.helper.make_tensor_value_info(ends[1], kind, ["n", region.reach.channels, "i", "j"])],
        [tensor for tensor in proto.graph.initializer if tensor.name in read],
    )
    part = onnx.helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
    return float64_function(in_float64(part))


def _kernel(original: Function, region: Region) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight (O, C, kh, kw) and bias (O,), read off the centre of an image that is large enough to have an interior."""
    rows, columns = region.reach.rows, region.reach.columns
    centre = (2 * rows.depth + 1, 2 * columns.depth + 1)
    size = (2 * centre[0] + 1, 2 * centre[1] + 1)
    channels = region.source_channels
    zero = original(np.zeros((1, channels, *size)))
    weight = np.empty((region.reach.channels, channels, *region.kernel))
    # An impulse at p is seen by output p - low - k through element k of the kernel.
    top, left = centre[0] - rows.high, centre[1] - columns.high
    seen = np.s_[:, :, top : top + region.kernel[0], left : left + region.kernel[1]]
    for start in range(0, channels, _BATCH):
        chosen = range(start, min(start + _BATCH, channels))
        impulses = np.zeros((len(chosen), channels, *size))
        impulses[range(len(chosen)), chosen, centre[0], centre[1]] = 1
        weight[:, chosen] = (original(impulses) - zero)[seen][:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return weight, zero[0, :, top, left].copy()


def _convolution(region: Region, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> Function:
    """The one convolution, with zeros padded, as ONNX defines it."""
    node = onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=_pads(region))
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, ["n", "c", "h", "w"]) for name in "xy"]
    constants = [onnx.numpy_helper.from_array(array, name) for array, name in ((weight, "w"), (bias, "b"))]
    graph = onnx.helper.make_graph([node], "merged", ends[:1], ends[1:], constants)
    return float64_function(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]))


def _pads(region: Region) -> list[int]:
    rows, columns = padding(region.reach.rows), padding(region.reach.columns)
    return [rows[0], columns[0], rows[1], columns[1]]


def _worst(original: Function, merged: Function, region: Region) -> _Difference:
    """The largest difference over zero and every impulse, on patches that hold every border case."""
    count, worst = 0, _Difference(0, 0.0, (0, 0), 0, 0, 0)
    for size in _patches(region):
        difference, largest, place = 0.0, 0.0, (0, 0, 0)
        for inputs in zero_and_impulses(region.source_channels, *size):
            expected = original(inputs)
            distance = np.abs(expected - merged(inputs)).max(axis=0)
            count += len(inputs)
            largest = float(np.maximum(largest, np.abs(expected).max()))
            if not distance.max() <= difference:  # a NaN is a difference
                difference = float(distance.max())
                channel, row, column = np.unravel_index(int(distance.argmax()), distance.shape)
                place = (int(channel), int(row), int(column))
        error = difference / largest if largest else difference
        if not error <= worst.error:
            worst = _Difference(count, error, size, *place)
    return _Difference(count, worst.error, worst.size, worst.channel, worst.row, worst.column)


def _patches(region: Region) -> list[tuple[int, int]]:
    """Heights and widths: one with an interior, and the smallest, where borders meet."""
    spans = region.reach.rows, region.reach.columns
    large = [2 * span.depth + 1 for span in spans]
    # Without zeros around them, images smaller than the window have no output, or none that can be cropped.
    small = [max(1, 1 - span.narrowest) for span in spans]
    return list(dict.fromkeys([(large[0], large[1]), (small[0], small[1]), (small[0], large[1]), (large[0], small[1])]))


def _replace(model: ir.Model, region: Region, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    """Put the convolution where the region's last node is; what nothing reads any more goes."""
    last, dtype = region.nodes[-1], _dtype(region)
    old = last.outputs[0]
    name, tensor = str(last.name), old.name
    last.name, old.name = f"{name}.replaced", f"{tensor}.replaced"
    constants = [
        add_constant(model, f"{name}.{leaf}", np.ascontiguousarray(array.astype(dtype)))
        for leaf, array in (("weight", weight), ("bias", bias))
    ]
    attributes = {"kernel_shape": list(region.kernel), "pads": _pads(region), "strides": [1, 1]}
    conv = named_node("Conv", [region.source, *constants], name, attributes)
    new = conv.outputs[0]
    new.name, new.type, new.shape = tensor, old.type, old.shape
    model.graph.insert_before(last, conv)
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    remove_unused_nodes(model)
