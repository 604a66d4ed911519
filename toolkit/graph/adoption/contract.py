"""The contract of a graph that others exported, found by experiments in float64 or stated by the user.

Nothing in an ONNX file says what its numbers mean: whether white is 1 or 255, whether channels are RGB or BGR, which
sizes run. Experiments do: a super-resolution network's result resembles bicubic upscaling, but only where its input
means what it was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.findings import Finding
from toolkit.graph.adoption.ends import BYTES, Ends, Function
from toolkit.graph.adoption.levels import (
    Levels,
    image_pairs,
    measured_levels,
    measured_limits,
    measured_order,
    suitable,
)
from toolkit.graph.adoption.scale import measured_scale, measured_sizes
from toolkit.graph.adoption.stated import NOTHING, Range, Stated
from toolkit.port import ChannelOrder, Port
from toolkit.sizes import SizeRule
from toolkit.workloads import Shape


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        input: port of the input.
        output: port of the output.
        scale: output pixels per input pixel.
        sizes: input sizes that the graph takes.
        fixed: the only input size; None: any.
        findings: all of this with its evidence, for the manifest.
    """

    input: Port
    output: Port
    scale: int
    sizes: SizeRule
    fixed: Shape | None
    findings: tuple[Finding, ...]


def measured_contract(
    ends: Ends, function: Function, images: Sequence[NDArray[np.uint8]], stated: Stated = NOTHING
) -> Measured:
    """Find out what a network takes and returns.

    Args:
        ends: of the normalised graph.
        function: the same graph in float64.
        images: RGB photographs, uint8 (H, W, 3).
        stated: facts that need no experiment.

    Raises:
        InputError: it is no network for super-resolution, or the user stated something that it contradicts.
    """
    scale, scaling = measured_scale(ends, function)
    if stated.scale not in (None, scale):
        raise InputError(
            f"it upscales x{scale} ({scaling.evidence}), not x{stated.scale}", "Correct --scale, or leave it out."
        )
    sizes, fitting = measured_sizes(ends, function, scale, stated.sizes)
    pairs = image_pairs(images, scale, sizes, ends.fixed)
    usual: ChannelOrder = "Y" if ends.grey else stated.channel_order or "RGB"
    if ends.grey and stated.channel_order not in (None, "Y"):
        raise InputError(f"it takes one channel, not {stated.channel_order}", "Leave --channel-order out.")
    given = None if stated.value_range is None else _stated_levels(ends, stated.value_range)
    levels, ranging = measured_levels(ends, function, pairs, scale, given, usual)
    order, ordering = measured_order(ends, function, pairs, scale, levels, stated.channel_order)
    source = ends.given(levels.given, order)
    returned = ends.returned(levels.returned, order, scale)
    clamped, limits = measured_limits(ends, function, source, returned, suitable(sizes, ends.fixed))
    scaling = msgspec.structs.replace(scaling, given=stated.scale is not None)
    return Measured(
        source,
        ends.returned(levels.returned, order, scale, clamped=clamped),
        scale,
        sizes,
        ends.fixed,
        tuple(map(stated.named, (scaling, fitting, ranging, ordering, limits))),
    )


def _stated_levels(ends: Ends, stated: Range) -> Levels:
    """What the user states is about the ends in floating point: uint8 has values of its own.

    Raises:
        InputError: there is no such end.
    """
    if ends.uint8 and ends.returns_uint8 and stated != BYTES:
        raise InputError("its input and output are uint8, from 0 to 255", "Leave --value-range out.")
    return Levels(BYTES if ends.uint8 else stated, BYTES if ends.returns_uint8 else stated)
