"""Strips of a frame: of full width and equal height, each with the rows that its result depends on (halo)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolkit.graph.analysis.locality import Locality
from toolkit.workloads import Shape

MEMORY = 256 << 20
"""Bytes that the tensors of one run may take, by default; frames that need more are cut into strips."""


@dataclass(frozen=True)
class Strip:
    """Input rows `start` to `stop` of a frame; the results of rows `keep_start` to `keep_stop` are valid."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


def cut(height: int, rows: int, local: Locality) -> tuple[Strip, ...]:
    """Divide a frame into strips of equal height.

    The first and the last strip start and end at the frame's edge, so that the network's padding is where it is in a
    whole frame. If strips with their halo would be as high as the frame, the result is one strip.

    Args:
        height: of the frame, a multiple of the network's alignment.
        rows: valid rows of a strip, about.
        local: the network's alignment and halo.
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
    """Valid rows of the highest strip whose tensors take at most `memory` bytes; at least the graph's alignment."""
    window = int(memory / (per_pixel * shape.width))
    halo = _up(local.above, local.alignment) + _up(local.below, local.alignment)
    if window >= shape.height:
        return shape.height
    return max((window - halo) // local.alignment * local.alignment, local.alignment)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
