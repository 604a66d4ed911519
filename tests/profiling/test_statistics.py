"""Statistics against independent truth: textbook definitions, SciPy, and samples whose median is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolkit.profiling.measuring.statistics import (
    Interval,
    independent_ratio,
    median_interval,
    paired_ratio,
    student_quantile,
    summarise,
)
from toolkit.profiling.measuring.steady import is_steady, window_frames

TIMES = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=300)


@given(st.lists(TIMES, min_size=1, max_size=8))
def test_statistics_are_the_textbooks(blocks: list[list[float]]) -> None:
    found = summarise(blocks)
    seconds = [second for block in blocks for second in block]
    ordered = sorted(seconds)
    assert (found.minimum, found.trials) == (ordered[0], len(seconds))
    assert found.mean == pytest.approx(sum(seconds) / len(seconds))
    steps = [abs(b - a) for a, b in itertools.pairwise(seconds)]
    assert found.jitter == (pytest.approx(sum(steps) / len(steps)) if steps else None)

    def percentile(share: float) -> float:
        position = share * (len(ordered) - 1)
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (position - low) * (ordered[high] - ordered[low])

    assert found.median == pytest.approx(percentile(0.5), rel=1e-9)
    for value, share, fewest in (
        (found.p90, 0.9, 10),
        (found.p95, 0.95, 20),
        (found.p99, 0.99, 100),
        (found.p999, 0.999, 1000),
    ):
        assert value == (pytest.approx(percentile(share), rel=1e-9) if len(seconds) >= fewest else None)


def test_late_frames() -> None:
    found = summarise([[0.01, 0.02, 0.04], [0.04, 0.01], [0.02, 0.02, 0.02, 0.02]])
    sixty, thirty = found.deadlines
    assert (sixty.seconds, thirty.seconds) == (1 / 60, 1 / 30)
    assert (sixty.late_share, sixty.longest_late_run) == (pytest.approx(7 / 9), 4)
    assert (thirty.late_share, thirty.longest_late_run) == (pytest.approx(2 / 9), 2)


@pytest.mark.parametrize("freedom", [4, 5, 7, 12, 30, 400])
@pytest.mark.parametrize("probability", [0.9, 0.975, 0.995])
def test_student_quantile(freedom: int, probability: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=5e-3)


def test_an_interval_of_many_frames_is_scipys() -> None:
    """Where every frame is a block of its own the interval is the ordinary bootstrap's, but for its small widening."""
    seconds = np.random.default_rng(3).lognormal(0, 0.1, 200)
    ours = median_interval([[second] for second in seconds])
    theirs = stats.bootstrap((seconds,), np.median, method="percentile", n_resamples=2000, rng=1).confidence_interval
    assert ours is not None
    assert ours.low == pytest.approx(theirs.low, rel=0.005)
    assert ours.high == pytest.approx(theirs.high, rel=0.005)


def shaken(random: np.random.Generator, median: float, shakes: np.ndarray) -> list[list[float]]:
    """Blocks of 10 frames, all frames of a block shaken alike, and each by itself."""
    return [list(median * np.exp(shake + random.normal(0, 0.03, 10))) for shake in shakes]


@pytest.mark.parametrize(("blocks", "shake"), [(5, 0.0), (5, 0.05), (20, 0.02)])
def test_intervals_hold_the_truth_as_often_as_they_say(blocks: int, shake: float) -> None:
    """95 of 100 times; of 200 samples at least 180, which a right interval misses once in a thousand times."""
    random = np.random.default_rng(blocks)
    held = np.zeros(3)
    for _ in range(200):
        ours, theirs = random.normal(0, shake, blocks), random.normal(0, shake, blocks)
        cell = shaken(random, 1.0, ours)
        intervals = (
            (median_interval(cell), 1.0),
            (paired_ratio(shaken(random, 3.0, ours), cell)[1], 3.0),
            (independent_ratio(shaken(random, 1.1, theirs), cell)[1], 1.1),
        )
        held += [found is not None and found.low <= truth <= found.high for found, truth in intervals]
    assert (held >= 180).all()


def test_what_shakes_both_cells_does_not_widen_their_ratio() -> None:
    random = np.random.default_rng(0)
    shakes = random.normal(0, 0.2, 10)
    slow, fast = shaken(random, 2.0, shakes), shaken(random, 1.0, shakes)
    _, paired = paired_ratio(slow, fast)
    _, independent = independent_ratio(slow, fast)
    assert paired is not None
    assert independent is not None
    assert paired.width < independent.width / 4


def test_too_few_frames_have_no_interval() -> None:
    assert median_interval([[1.0, 1.0], [1.0]]) is None
    assert paired_ratio([[2.0]] * 4, [[1.0]] * 4) == (2.0, None)
    assert independent_ratio([[2.0]] * 5, [[1.0]] * 4) == (pytest.approx(2.0), None)
    assert median_interval([[2.0]] * 5) == Interval(2.0, 2.0)


def test_warm_up_ends_when_times_are_steady() -> None:
    random = np.random.default_rng(0)
    falling = 1e-3 * (1 + 2 * np.exp(-np.arange(2000) / 300))
    noisy = falling * random.lognormal(0, 0.02, 2000)
    window = window_frames(noisy[-1])
    assert window == 100
    ends = next(index for index in range(1, 2000) if is_steady(noisy[:index], window))
    # At its end the slow start is nearly over; it is not cut short, and noise does not keep it from ending.
    assert 1.0 < falling[ends - 1] / 1e-3 < 1.1
    assert ends > 2 * window


@pytest.mark.parametrize(
    ("seconds", "steady"),
    [([1.0, 1.01, 1.0, 1.01], True), ([2.0, 1.5, 1.0, 1.0], False), ([1.0, 1.0, 1.0], False)],
)
def test_slow_frames_are_steady_after_two_pairs(seconds: list[float], steady: bool) -> None:
    assert window_frames(1.0) == 2
    assert is_steady(seconds, 2) is steady
