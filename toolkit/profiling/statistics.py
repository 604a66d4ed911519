"""Frame times in numbers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np


class Statistics(msgspec.Struct, frozen=True):
    """Of one cell's frame times, in seconds; percentiles interpolate linearly between trials (numpy's default)."""

    trials: int
    median: float
    p90: float
    p95: float
    p99: float
    minimum: float


def summarise(seconds: Sequence[float]) -> Statistics:
    """Statistics of at least one frame time."""
    median, p90, p95, p99 = np.percentile(seconds, [50, 90, 95, 99])
    return Statistics(len(seconds), float(median), float(p90), float(p95), float(p99), float(min(seconds)))
