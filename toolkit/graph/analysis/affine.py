"""Affine parts of a graph: where everything between two tensors is one convolution, up to its borders.

Convolutions of stride 1, batch norms, sums, padding, cropping, constant scales and offsets, and means over channels are
affine and shift-invariant: away from the borders, whatever they are composed of is y = K * x + b for one kernel K and
one bias b. This module finds such parts and the window of input positions that an output position depends on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from toolkit.graph.matching import constant, consumers, ints, is_channel_mean

_LAST = 1 << 31
"""Slice ends from here on mean "to the end"; exporters write the largest int32 or int64."""


@dataclass(frozen=True)
class Span:
    """Along one axis: output i depends on inputs i + low … i + high, and there are `growth` more outputs than inputs.

    Attributes:
        low: first input position, relative to the output position (negative where zeros are padded before).
        high: last input position.
        growth: number of outputs minus number of inputs.
        depth: how far from a border any tensor on the way still notices it. Beyond it all positions are alike.
        narrowest: the least growth of any tensor on the way: images of `-narrowest` positions or fewer have no interior
            to crop, and what the graph makes of them follows no rule.
    """

    low: int = 0
    high: int = 0
    growth: int = 0
    depth: int = 0
    narrowest: int = 0

    def windowed(self, size: int, before: int, after: int) -> Span:
        """After a window of `size` positions over the tensor, extended by `before` and `after` positions."""
        low, high = self.low - before, self.high - before + size - 1
        growth = self.growth + before + after - size + 1
        return Span(low, high, growth, self._deeper(low, high), min(self.narrowest, growth))

    def joined(self, other: Span) -> Span | None:
        """Of the sum of two tensors; None where their sizes differ."""
        if self.growth != other.growth:
            return None
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Span(low, high, self.growth, max(self.depth, other.depth), min(self.narrowest, other.narrowest))

    def _deeper(self, low: int, high: int) -> int:
        return max(self.depth, abs(low), abs(high), abs(high - low))


@dataclass(frozen=True)
class Reach:
    """How a tensor depends on the source: along rows and along columns, and its number of channels."""

    rows: Span
    columns: Span
    channels: int

    def joined(self, other: Reach) -> Reach | None:
        rows, columns = self.rows.joined(other.rows), self.columns.joined(other.columns)
        spread = 1 in (self.channels, other.channels)  # one channel is added to each of several
        if rows is None or columns is None or not (spread or self.channels == other.channels):
            return None
        return Reach(rows, columns, max(self.channels, other.channels))


@dataclass(frozen=True)
class Region:
    """A part of a graph between two tensors that could be one convolution.

    Attributes:
        source: the only tensor that it reads, (N, C, H, W).
        target: the tensor that it computes.
        nodes: in the order of the graph.
        reach: of the target.
        source_channels: C.
        removed: multiply-adds per pixel of the nodes that nothing else needs.
        merged: multiply-adds per pixel of the one convolution.
    """

    source: ir.Value
    target: ir.Value
    nodes: tuple[ir.Node, ...]
    reach: Reach
    source_channels: int
    removed: int
    merged: int

    @property
    def saving(self) -> int:
        return self.removed - self.merged

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of the one kernel."""
        rows, columns = self.reach.rows, self.reach.columns
        return rows.high - rows.low + 1, columns.high - columns.low + 1


def affine_regions(model: ir.Model, channels: dict[str, int]) -> list[Region]:
    """Every region of two nodes or more that would cost fewer multiply-adds as one convolution; best saving first.

    Args:
        model: its Constant nodes may be initializers or nodes.
        channels: of every tensor with four dimensions, by name.
    """
    found = []
    sources = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    for source in sources:
        if source.name in channels and constant(source) is None:
            found += _regions_from(model, source, channels[str(source.name)])
    # Where savings are equal the larger region comes first: it removes more nodes.
    return sorted(found, key=lambda region: (region.saving, len(region.nodes)), reverse=True)


def _regions_from(model: ir.Model, source: ir.Value, channels: int) -> list[Region]:
    reaches = {source: Reach(Span(), Span(), channels)}
    costs: dict[ir.Node, int] = {}
    parents: dict[ir.Node, set[ir.Node]] = {}
    found = []
    for node in _downstream(model, source):
        reach = _through(node, reaches)
        if reach is None:
            continue
        reaches[node.outputs[0]] = reach
        costs[node] = _cost(node, reach, reaches)
        parents[node] = {node}.union(
            *(parents[made] for value in node.inputs if value and (made := value.producer()) in parents)
        )
        nodes = tuple(other for other in costs if other in parents[node])
        kernel = math.prod(span.high - span.low + 1 for span in (reach.rows, reach.columns))
        removed = sum(costs[other] for other in _needed_by_nothing_else(nodes, node))
        region = Region(source, node.outputs[0], nodes, reach, channels, removed, kernel * channels * reach.channels)
        convolves = any(other.op_type == "Conv" for other in nodes)
        if convolves and len(nodes) > 1 and region.saving > 0 and _paddable(region):
            found.append(region)
    return found


def _downstream(model: ir.Model, source: ir.Value) -> list[ir.Node]:
    """Nodes that may depend on `source`, in the order of the graph, as far as affine ones follow each other."""
    seen: set[ir.Node] = set()
    pending = [source]
    while pending:
        for node in consumers(pending.pop()):
            if node not in seen and node.op_type in _HANDLERS and len(node.outputs) == 1:
                seen.add(node)
                pending.append(node.outputs[0])
    return [node for node in model.graph if node in seen] if seen else []


def _needed_by_nothing_else(nodes: tuple[ir.Node, ...], last: ir.Node) -> list[ir.Node]:
    """Of a region's nodes, those that can go when its target is computed in another way."""
    gone = [last]
    for node in reversed(nodes):
        readers = consumers(node.outputs[0])
        if node is not last and not node.outputs[0].is_graph_output() and all(reader in gone for reader in readers):
            gone.append(node)
    return gone


def _paddable(region: Region) -> bool:
    """Whether padding zeros alone gives the one convolution the size of the target."""
    return all(min(padding(span)) >= 0 for span in (region.reach.rows, region.reach.columns))


def padding(span: Span) -> tuple[int, int]:
    """Zeros before and after with which a convolution over this span has as many outputs as the region."""
    return -span.low, span.growth + span.high


def _through(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    """Reach of a node's output; None where it is no affine function of the source, or not one that is known."""
    for value in node.inputs:
        if value is not None and value not in reaches and constant(value) is None:
            return None
    return _HANDLERS[node.op_type](node, reaches)


def _data(node: ir.Node, reaches: dict[ir.Value, Reach]) -> list[Reach]:
    return [reaches[value] for value in node.inputs if value in reaches]


def _single(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    return reaches.get(node.inputs[0]) if node.inputs[0] is not None else None


def _conv(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    reach, weight = _single(node, reaches), constant(node.inputs[1])
    plain = ints(node, "strides", (1, 1)) == (1, 1) and node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    if reach is None or weight is None or weight.ndim != 4 or not plain:
        return None
    pads, dilations = ints(node, "pads", (0, 0, 0, 0)), ints(node, "dilations", (1, 1))
    sizes = [(size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations, strict=True)]
    rows = reach.rows.windowed(sizes[0], pads[0], pads[2])
    return Reach(rows, reach.columns.windowed(sizes[1], pads[1], pads[3]), weight.shape[0])


def _batch_norm(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    return None if node.attributes.get_int("training_mode", 0) else _single(node, reaches)


def _sum(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    """Of tensors, and of constants with one value for each channel or one for all."""
    terms = _data(node, reaches)
    if not terms or not all(_is_per_channel(value, terms[0].channels) for value in node.inputs if value not in reaches):
        return None
    result: Reach | None = terms[0]
    for term in terms[1:]:
        result = result.joined(term) if result is not None else None
    return result


def _scale(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    """A product with constants, or a quotient by them."""
    terms = _data(node, reaches)
    if len(terms) != 1 or (node.op_type == "Div" and node.inputs[0] not in reaches):
        return None
    fixed = [value for value in node.inputs if value not in reaches]
    return terms[0] if all(_is_per_channel(value, terms[0].channels) for value in fixed) else None


def _is_per_channel(value: ir.Value | None, channels: int) -> bool:
    array = constant(value)
    if array is None:
        return False
    shape = (1,) * (4 - array.ndim) + array.shape
    return len(shape) == 4 and shape[0] == 1 and shape[1] in (1, channels) and shape[2:] == (1, 1)


def _pad(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    """With a constant; borders that are repeated or reflected are no zeros of a convolution."""
    reach = _single(node, reaches)
    amounts = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if reach is None or amounts is None or node.attributes.get_string("mode", "constant") != "constant":
        return None
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 else np.arange(4)
    if axes is None or amounts.size != 2 * axes.size:
        return None
    given = np.zeros((2, 4), np.int64)
    given[:, axes.astype(np.int64) % 4] = amounts.reshape(2, -1)
    if given[:, :2].any():
        return None
    rows, columns = (
        span.windowed(1, int(given[0, axis]), int(given[1, axis]))
        for span, axis in ((reach.rows, 2), (reach.columns, 3))
    )
    return Reach(rows, columns, reach.channels)


def _crop(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    """Slice of rows and columns that leaves out a fixed number at either end."""
    reach = _single(node, reaches)
    given = [constant(value) for value in node.inputs[1:]]
    if reach is None or len(given) < 2 or any(array is None for array in given[:2]):
        return None
    starts, ends = (array.reshape(-1).tolist() for array in given[:2] if array is not None)
    axes = given[2].reshape(-1).tolist() if len(given) > 2 and given[2] is not None else list(range(len(starts)))
    steps = given[3].reshape(-1).tolist() if len(given) > 3 and given[3] is not None else [1] * len(starts)
    spans = {2: reach.rows, 3: reach.columns}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        whole = start == 0 and end >= _LAST
        if step != 1 or start < 0 or not (end < 0 or end >= _LAST) or (axis % 4 not in spans and not whole):
            return None
        if axis % 4 in spans:
            spans[axis % 4] = spans[axis % 4].windowed(1, -start, end if end < 0 else 0)
    return Reach(spans[2], spans[3], reach.channels)


def _concat(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    terms = [reaches.get(value) for value in node.inputs if value is not None]
    if node.attributes.get_int("axis", 0) not in (1, -3) or not terms:
        return None
    rows: Span | None = Span() if terms[0] is None else terms[0].rows
    columns: Span | None = Span() if terms[0] is None else terms[0].columns
    total = 0
    for term in terms:
        if term is None or rows is None or columns is None:
            return None
        rows, columns, total = rows.joined(term.rows), columns.joined(term.columns), total + term.channels
    return None if rows is None or columns is None else Reach(rows, columns, total)


def _channel_mean(node: ir.Node, reaches: dict[ir.Value, Reach]) -> Reach | None:
    """A mean over channels that keeps their axis; as a term of a sum it is spread over all channels."""
    reach = _single(node, reaches)
    if reach is None or not is_channel_mean(node):
        return None
    return Reach(reach.rows, reach.columns, 1)


_HANDLERS: dict[str, Callable[[ir.Node, dict[ir.Value, Reach]], Reach | None]] = {
    "Add": _sum,
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _scale,
    "Identity": _single,
    "Mul": _scale,
    "Neg": _single,
    "Pad": _pad,
    "ReduceMean": _channel_mean,
    "Slice": _crop,
    "Sub": _sum,
    "Sum": _sum,
}


def _cost(node: ir.Node, reach: Reach, reaches: dict[ir.Value, Reach]) -> int:
    """Multiply-adds per pixel; moving data counts as nothing, other arithmetic as one for each value."""
    if node.op_type == "Conv":
        weight = constant(node.inputs[1])
        return 0 if weight is None else weight.size
    if node.op_type in {"Identity", "Pad", "Slice", "Concat"}:
        return 0
    return max(item.channels for item in (reach, *_data(node, reaches)))
