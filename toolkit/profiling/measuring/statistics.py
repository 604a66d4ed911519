"""Statistics of frame times, with 95 % confidence intervals.

Frames are measured in blocks. Frame times within a block are correlated, because disturbances of a machine (other load,
clock changes) last longer than a frame. A bootstrap that resamples single frames would therefore give intervals that
are much too narrow. Here whole blocks are resampled (cluster bootstrap; Davison and Hinkley 1997, section 3.8).

With few blocks k, the bootstrap underestimates the spread in two ways, and both are corrected in `_spread`:

- It divides by k where an unbiased variance divides by k - 1: the interval is multiplied by sqrt(k / (k - 1)).
- Its quantiles are those of a normal distribution, although the spread itself is estimated from k blocks: the interval
  is multiplied by t / z, the quantiles of Student's t with k - 1 degrees of freedom and of the normal distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Blocks = Sequence[Sequence[float]]
"""Frame times in seconds, by block."""

CONFIDENCE = 0.95
DEADLINES = (1 / 60, 1 / 30)
"""Seconds per frame at 60 and at 30 frames per second."""

_RESAMPLES = 1000
_FEWEST_BLOCKS = 5
_MOST_POINTS = 64
"""A longer block is represented by this many of its quantiles, which bounds the time and memory of the bootstrap."""


class Interval(msgspec.Struct, frozen=True):
    """A 95 % confidence interval."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low


class Deadline(msgspec.Struct, frozen=True):
    """Frames that took longer than `seconds`: their share, and the longest run of consecutive ones."""

    seconds: float
    late_share: float
    longest_late_run: int


class Statistics(msgspec.Struct, frozen=True):
    """Statistics of one cell's frame times, in seconds.

    `trials` is the number of frames. Percentiles interpolate linearly between trials (NumPy's default) and are null if
    less than one frame is expected beyond them: p90 needs 10 trials, p95 20, p99 100, p99.9 1000. `jitter` is the mean
    absolute difference between consecutive frames.
    """

    trials: int
    median: float
    interval: Interval | None
    mean: float
    minimum: float
    p90: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    jitter: float | None
    deadlines: tuple[Deadline, ...]


def summarise(blocks: Blocks) -> Statistics:
    """Statistics of frame times; at least one frame."""
    seconds = _joined(blocks)
    return Statistics(
        trials=len(seconds),
        median=float(np.median(seconds)),
        interval=median_interval(blocks),
        mean=float(seconds.mean()),
        minimum=float(seconds.min()),
        p90=_percentile(seconds, 90),
        p95=_percentile(seconds, 95),
        p99=_percentile(seconds, 99),
        p999=_percentile(seconds, 99.9),
        jitter=float(np.abs(np.diff(seconds)).mean()) if len(seconds) > 1 else None,
        deadlines=tuple(_deadline(seconds, limit) for limit in DEADLINES),
    )


def median_interval(blocks: Blocks) -> Interval | None:
    """Confidence interval of the median of all frames; None for fewer than five frames."""
    drawn = _clusters(blocks)
    if len(drawn) < _FEWEST_BLOCKS:
        return None
    centre = float(np.median(_joined(blocks)))
    low, high = _spread(_medians(drawn, _draws(len(drawn))), centre, len(drawn))
    return Interval(max(low, 0.0), high)


def paired_ratio(numerator: Blocks, denominator: Blocks) -> tuple[float, Interval | None]:
    """Ratio of the medians of two cells whose blocks were measured in the same rounds.

    Both cells are resampled with the same rounds, so a disturbance that slowed both down cancels out and does not widen
    the interval. The interval is computed for the logarithm of the ratio, which makes it the same for a ratio and its
    inverse.

    Args:
        numerator, denominator: blocks of the same rounds, at least one.

    Returns:
        The ratio, and its interval; None for fewer than five rounds.
    """
    centre = float(np.median(_joined(numerator)) / np.median(_joined(denominator)))
    if len(numerator) < _FEWEST_BLOCKS:
        return centre, None
    draws = _draws(len(numerator))
    ratios = _medians(_thinned(numerator), draws) / _medians(_thinned(denominator), draws)
    low, high = _spread(np.log(ratios), math.log(centre), len(numerator))
    return centre, Interval(math.exp(low), math.exp(high))


def independent_ratio(numerator: Blocks, denominator: Blocks) -> tuple[float, Interval | None]:
    """Ratio of the medians of two cells of different runs.

    Each cell is resampled on its own, and the noise of both widens the interval.

    Returns:
        The ratio, and its interval; None if either cell has fewer than five frames.
    """
    centre, low, high = 0.0, 0.0, 0.0
    for seed, (sign, blocks) in enumerate(((1, numerator), (-1, denominator)), start=1):
        drawn, middle = _clusters(blocks), math.log(float(np.median(_joined(blocks))))
        centre += sign * middle
        if len(drawn) < _FEWEST_BLOCKS:
            low = high = math.nan
            continue
        below, above = _spread(np.log(_medians(drawn, _draws(len(drawn), seed))), middle, len(drawn))
        # In log(a / b) = log a - log b the upper error of b is a lower error of the ratio: ends swap for sign -1.
        under, over = (middle - below, above - middle) if sign > 0 else (above - middle, middle - below)
        # Errors of independent measurements add in quadrature.
        low, high = math.hypot(low, under), math.hypot(high, over)
    interval = None if math.isnan(low) else Interval(math.exp(centre - low), math.exp(centre + high))
    return math.exp(centre), interval


def student_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t by its expansion in 1/freedom (Abramowitz and Stegun 26.7.5); error below 0.5 % for
    4 or more degrees of freedom."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, start=1))


def _joined(blocks: Blocks) -> Floats:
    return np.concatenate([np.asarray(block, np.float64) for block in blocks])


def _percentile(seconds: Floats, percent: float) -> float | None:
    enough = len(seconds) * (100 - percent) >= 100 - 1e-6  # at least one frame is expected beyond the percentile
    return float(np.percentile(seconds, percent)) if enough else None


def _deadline(seconds: Floats, limit: float) -> Deadline:
    longest = run = 0
    late = seconds > limit
    for is_late in late:
        run = run + 1 if is_late else 0
        longest = max(longest, run)
    return Deadline(limit, float(late.mean()), longest)


def _clusters(blocks: Blocks) -> list[tuple[Floats, float]]:
    """Units of resampling, as values and the weight of each: blocks, or single frames if there are too few blocks."""
    if len(blocks) >= _FEWEST_BLOCKS:
        return _thinned(blocks)
    return [(np.array([second]), 1.0) for second in _joined(blocks)]


def _thinned(blocks: Blocks) -> list[tuple[Floats, float]]:
    """Each block as at most `_MOST_POINTS` quantiles, and the number of frames that each of them represents."""
    thinned = []
    for block in blocks:
        points = np.asarray(block, np.float64)
        if len(points) > _MOST_POINTS:
            points = np.quantile(points, (np.arange(_MOST_POINTS) + 0.5) / _MOST_POINTS)
        thinned.append((points, len(block) / len(points)))
    return thinned


def _draws(count: int, seed: int = 0) -> NDArray[np.int64]:
    """How often each of `count` clusters is drawn in each resample, (resamples, count); deterministic.

    Drawing `count` clusters with replacement gives multinomial counts, so resamples need no copies of the data.
    """
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), _RESAMPLES)


def _medians(clusters: Sequence[tuple[Floats, float]], draws: NDArray[np.int64]) -> Floats:
    """Weighted median of each resample, (resamples,).

    Values are sorted once. In a resample each value has the weight of its point times the number of draws of its
    cluster; the median is where the cumulative weight reaches half of the total.
    """
    values = np.concatenate([points for points, _ in clusters])
    weights = np.concatenate([np.full(len(points), weight) for points, weight in clusters])
    owners = np.concatenate([np.full(len(points), index) for index, (points, _) in enumerate(clusters)])
    order = np.argsort(values, kind="stable")
    values, weights, owners = values[order], weights[order], owners[order]
    cumulative = np.cumsum(draws[:, owners] * weights, axis=1)
    half = cumulative[:, -1:] / 2
    # If exactly half of the weight lies below a value, the median is the mean of that value and the next, as in
    # np.median. The factors absorb rounding of the cumulative sum.
    lower = (cumulative < half * (1 - 1e-12)).sum(axis=1)
    upper = (cumulative <= half * (1 + 1e-12)).sum(axis=1)
    middle: Floats = (values[lower] + values[upper]) / 2
    return middle


def _spread(replicas: Floats, centre: float, clusters: int) -> tuple[float, float]:
    """Ends of the confidence interval around `centre`, corrected for a small number of clusters (module docstring).

    The distances of the bootstrap quantiles from the centre are scaled separately, so a skewed distribution keeps a
    skewed interval.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(replicas, [tail, 1 - tail])
    factor = student_quantile(1 - tail, clusters - 1) / NormalDist().inv_cdf(1 - tail)
    factor *= math.sqrt(clusters / (clusters - 1))
    return centre - factor * max(centre - float(low), 0.0), centre + factor * max(float(high) - centre, 0.0)
