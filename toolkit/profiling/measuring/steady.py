"""Detects the end of warm-up: frame times are steady.

A window holds as many frames as take `WINDOW_SECONDS`, at least two. Warm-up ends with the first window whose median
agrees with that of the window before it, within `TOLERANCE` or within the noise of both, whichever is larger. The noise
is three standard errors of the difference of the two medians, estimated from the median absolute deviation (MAD):

    sigma            = 1.4826 * MAD                  (for a normal distribution)
    error of median  = sqrt(pi / 2) * sigma / sqrt(n)

So warm-up lasts as long as caches, lazy compilation and rising clocks need, and random noise does not prolong it. If
times are not steady after `LIMIT_SECONDS`, or after four times the measuring time, the cell is measured anyway, and the
report warns about it.
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
"""Ratio of the standard error of a median to that of a mean, for a normal distribution."""

_ERRORS = 3.0


def window_frames(frame_seconds: float) -> int:
    """Number of frames in a window."""
    return max(SHORTEST_WINDOW, math.ceil(WINDOW_SECONDS / max(frame_seconds, 1e-9)))


def is_steady(seconds: Sequence[float], window: int) -> bool:
    """Whether the medians of the last two windows of frame times agree."""
    if len(seconds) < 2 * window:
        return False
    before, now = np.asarray(seconds[-2 * window : -window]), np.asarray(seconds[-window:])
    first, second = float(np.median(before)), float(np.median(now))
    # Two frames are too few to estimate a deviation: then only the tolerance counts.
    noise = _ERRORS * math.hypot(_median_error(before), _median_error(now)) if window > SHORTEST_WINDOW else 0.0
    return abs(second - first) <= max(TOLERANCE * first, noise)


def _median_error(seconds: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    deviation = _MAD_TO_DEVIATION * float(np.median(np.abs(seconds - np.median(seconds))))
    return _MEDIAN_ERROR * deviation / math.sqrt(len(seconds))
