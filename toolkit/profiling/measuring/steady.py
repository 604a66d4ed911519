"""When a cell is warm.

A window is as many frames as take `WINDOW_SECONDS`, two at least. Warm-up ends with the first window whose median is
that of the window before it, to within `TOLERANCE` or the noise of both: three standard errors of a median, by the
median absolute deviation. So caches, lazily compiled kernels and rising clocks are waited for as long as they take, and
noise is not. What is not steady after `LIMIT_SECONDS`, or four times as long
as the cell will be measured, is measured all the same, and the report says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

WINDOW_SECONDS = 0.1
SHORTEST_WINDOW = 2
TOLERANCE = 0.02
LIMIT_SECONDS = 20.0

_MAD_TO_DEVIATION = 1.4826
_MEDIAN_ERROR = math.sqrt(math.pi / 2)
"""Standard error of a median over that of a mean, for a normal distribution."""

_ERRORS = 3.0


def window_frames(frame_seconds: float) -> int:
    """Frames of a window."""
    return max(SHORTEST_WINDOW, math.ceil(WINDOW_SECONDS / max(frame_seconds, 1e-9)))


def is_steady(seconds: Sequence[float], window: int) -> bool:
    """Whether the last two windows of these frame times agree."""
    if len(seconds) < 2 * window:
        return False
    before, now = np.asarray(seconds[-2 * window : -window]), np.asarray(seconds[-window:])
    first, second = float(np.median(before)), float(np.median(now))
    noise = _ERRORS * math.hypot(_median_error(before), _median_error(now)) if window > SHORTEST_WINDOW else 0.0
    return abs(second - first) <= max(TOLERANCE * first, noise)


def _median_error(seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    deviation = _MAD_TO_DEVIATION * float(np.median(np.abs(seconds - np.median(seconds))))
    return _MEDIAN_ERROR * deviation / math.sqrt(len(seconds))
