import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolkit.network.padding import padded_size, reflected_indices


@given(st.integers(2, 40), st.integers(0, 200))
def test_reflection_is_numpys(size: int, extra: int) -> None:
    expected = np.pad(np.arange(size), (0, extra), mode="reflect")
    assert reflected_indices(size, size + extra) == expected.tolist()


def test_a_single_sample_repeats_itself() -> None:
    assert reflected_indices(1, 4) == [0, 0, 0, 0]


@given(st.integers(1, 10_000), st.sampled_from([2, 4]))
def test_padded_size_is_the_smallest_that_fits(size: int, minimum: int) -> None:
    padded = padded_size(size, minimum)
    assert padded % 2 == 0
    assert padded >= size
    assert padded >= minimum
    assert padded - 2 < max(size, minimum)
