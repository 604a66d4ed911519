"""Where a frame is cut into strips: whole width, one height for all, each with the rows its result depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolkit.graph.analysis.locality import Locality
from toolkit.workloads import Shape

MEMORY = 256 << 20
"""Bytes that the tensors of one run may take, by default; frames that need more are cut into strips."""


@dataclass(frozen=True)
class Strip:
    """Rows `start` to `stop` of a frame go in; of what comes out, those of `keep_start` to `keep_stop` are right."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def cut(height: int, rows: int, local: Locality) -> tuple[Strip, ...]:
    """Strips of one height that yield at most about `rows` rows each and together the whole frame.

    Strips at the frame's edge lie against it, so that the network's own padding is where it is in a whole frame. One
    strip of the whole frame where strips would not be lower than that.

    Args:
        height: of the frame, a multiple of the network's alignment.
        rows: that a strip should yield, at least.
        local: of the network.
    """
    align = local.alignment
    above, below = (_up(side, align) for side in (local.above, local.below))
    count = max(1, math.ceil(height / max(rows, align)))
    kept = _up(math.ceil(height / count), align)
    window = above + kept + below
    if window >= height:
        return (Strip(0, height, 0, height),)
    strips = []
    for first in range(0, height, kept):
        last = min(first + kept, height)
        start = min(max(first - above, 0), height - window)
        strips.append(Strip(start, start + window, first, last))
    return tuple(strips)


def highest(memory: int, shape: Shape, per_pixel: float, local: Locality) -> int:
    """Rows that a strip may yield so that its tensors take up to `memory` bytes; at least what the graph aligns to."""
    window = int(memory / (per_pixel * shape.width))
    halo = _up(local.above, local.alignment) + _up(local.below, local.alignment)
    if window >= shape.height:
        return shape.height
    return max((window - halo) // local.alignment * local.alignment, local.alignment)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
