"""Plans operators that move values between pixels and channels: shuffles, upsampling, padding, concatenation."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from toolkit.graph.matching import constant
from toolkit.native.builder import ProgramBuilder
from toolkit.native.program import Join, Source
from toolkit.native.values import Enlarged, Image, Padded, Quantised, Shuffled, Tensor, unsupported

_NEAREST = (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil"))
"""Coordinate and rounding modes that give output pixel x input pixel x // factor, for all whole factors."""


def depth_to_space(builder: ProgramBuilder, node: ir.Node) -> Shuffled:
    """A pixel shuffle."""
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "DCR"
    if mode != "CRD":
        raise unsupported(node, f"has mode {mode}; only CRD (pixel shuffle) is supported")
    tensor, factor = builder.tensor(node), node.attributes["blocksize"].as_int()
    if builder.channels(tensor) % factor**2:
        raise unsupported(node, f"shuffles {builder.channels(tensor)} channels, not a multiple of {factor}x{factor}")
    return Shuffled(tensor, factor)


def resize(builder: ProgramBuilder, node: ir.Node) -> Enlarged:
    """A nearest-neighbour upsampling."""
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    mode, coordinates, rounding = (
        node.attributes[name].as_string() if name in node.attributes else default
        for name, default in (
            ("mode", "nearest"),
            ("coordinate_transformation_mode", "half_pixel"),
            ("nearest_mode", "round_prefer_floor"),
        )
    )
    if mode != "nearest" or (coordinates, rounding) not in _NEAREST or scales is None or scales.size != 4:
        raise unsupported(node, "is not a nearest-neighbour upsampling by a constant factor")
    one, same, rows, columns = (float(scale) for scale in scales.reshape(-1))
    if (one, same) != (1, 1) or rows != columns or rows != int(rows) or rows < 1:
        raise unsupported(node, "is not an upsampling by an integer factor")
    known = builder.known(node.inputs[0], node)
    return Enlarged(known if isinstance(known, Image) else builder.tensor(node), int(rows))


def concatenation(builder: ProgramBuilder, node: ir.Node) -> Tensor | Quantised:
    """A Concat of channels: a stage that copies rows of all its parts.

    Parts that are quantised by the same step are copied before that: the convolution that reads them quantises.
    """
    if node.attributes["axis"].as_int() not in (1, -3):
        raise unsupported(node, "concatenates along another axis than the channels")
    known = [builder.known(value, node) for value in node.inputs]
    steps = {part.step for part in known if isinstance(part, Quantised)}
    if steps and (len(steps) != 1 or not all(isinstance(part, Quantised) for part in known)):
        raise unsupported(node, "concatenates tensors that are not quantised alike")
    plain = [part.tensor if isinstance(part, Quantised) else part for part in known]
    parts = [builder.as_tensor(part, node) for part in plain]
    sizes = {builder.size(part) for part in parts}
    if len(sizes) != 1:
        raise unsupported(node, "concatenates tensors of different sizes")
    sources = tuple(Source(builder.buffer(part, "float")) for part in parts)
    made = builder.begin(Join(sources), sum(builder.channels(part) for part in parts), sizes.pop())
    builder.stages[made.stage].nodes.append(str(node.name))
    return Quantised(made, steps.pop()) if steps else made


def padding(builder: ProgramBuilder, node: ir.Node) -> Padded:
    """A Pad, which the convolution that reads it applies."""
    known, pads = builder.resampled(builder.known(node.inputs[0], node)), constant(node.inputs[1])
    mode = node.attributes["mode"].as_string() if "mode" in node.attributes else "constant"
    value = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    if pads is None or pads.size != 8 or any(pads.reshape(-1)[[0, 1, 4, 5]]) or np.min(pads.astype(np.int64)) < 0:
        raise unsupported(node, "pads other axes than rows and columns, or by sizes that are not constant")
    if mode not in ("reflect", "constant") or (value is not None and np.any(value)):
        raise unsupported(node, f"pads with mode {mode}; only reflect and zeros are supported")
    if not isinstance(known, Tensor | Image):
        raise unsupported(node, "pads a value that was padded or quantised before")
    top, left, bottom, right = (int(pads.reshape(-1)[index]) for index in (2, 3, 6, 7))
    return Padded(known, (top, left, bottom, right), mode == "reflect")


def space_to_depth(builder: ProgramBuilder, node: ir.Node) -> Tensor:
    """Refused: its channels are in another order than those of a pixel unshuffle."""
    builder.known(node.inputs[0], node)
    raise unsupported(
        node, "orders channels by block position; only unshuffles exported as a strided convolution are supported"
    )
