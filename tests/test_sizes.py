"""Which sizes a network takes, and how others are extended."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.sizes import SizeRule, reflected_indices
from toolkit.workloads import Shape


@given(st.integers(2, 40), st.integers(0, 200))
def test_reflection_is_numpys(size: int, extra: int) -> None:
    expected = np.pad(np.arange(size), (0, extra), mode="reflect")
    assert reflected_indices(size, size + extra) == expected.tolist()


def test_a_single_sample_repeats_itself() -> None:
    assert reflected_indices(1, 4) == [0, 0, 0, 0]


@given(st.integers(1, 10_000), st.integers(1, 8), st.integers(1, 70))
def test_a_padded_size_is_the_smallest_that_fits(size: int, multiple: int, smallest: int) -> None:
    padded = SizeRule(multiple, smallest).padded(size)
    assert padded == next(side for side in range(max(size, smallest), 11_000) if side % multiple == 0)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 8), st.integers(1, 16))
def test_what_is_refused_would_be_extended(height: int, width: int, multiple: int, smallest: int) -> None:
    rule, shape = SizeRule(multiple, smallest), Shape(height, width)
    assert bool(rule.refusal(shape)) == (rule.extended(shape) != shape)
    assert not rule.refusal(rule.extended(shape))


@pytest.mark.parametrize(("multiple", "smallest"), [(0, 2), (-2, 2), (2, 0), (2, -1)])
def test_a_rule_that_no_size_follows_is_refused(multiple: int, smallest: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        SizeRule(multiple, smallest)
