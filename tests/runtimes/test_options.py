"""Options of sessions and builds: ranges, and the text that a bundle keeps of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import InputError
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.workloads import Shape

SIDES = st.integers(1, 16384)
OPTIONS = st.builds(
    BuildOptions,
    shape=st.none() | st.builds(Shape, SIDES, SIDES),
    target=st.lists(st.sampled_from(["sm75", "sm86", "sm120"]), unique=True).map(tuple),
    threads=st.integers(0, 512),
    optimization_level=st.none() | st.integers(0, 5),
    version_compatible=st.booleans(),
    hardware_compatible=st.booleans(),
    tf32=st.booleans(),
    cuda_graph=st.none() | st.booleans(),
    nhwc=st.none() | st.booleans(),
)


@pytest.mark.parametrize("options", [{"threads": -3}, {"threads": 100_000}, {"optimization_level": 6}])
def test_numbers_out_of_range(options: dict[str, int]) -> None:
    (name,) = options
    with pytest.raises(InputError, match=f"{name.replace('_', '-')} .* must be 0"):
        BuildOptions(**options)
    if name == "threads":
        with pytest.raises(InputError, match="must be 0"):
            SessionOptions(**options)


@given(options=OPTIONS)
def test_what_is_described_is_parsed(options: BuildOptions) -> None:
    assert BuildOptions.parse(options.described()) == options


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"colour": "red"}, "there is no build option colour"),
        ({"threads": "many"}, "threads 'many' is not a number"),
        ({"threads": "-3"}, "threads '-3' is not a number"),
        ({"threads": "513"}, "threads 513 must be 0"),
        ({"tf32": "yes"}, "tf32 'yes' is neither true nor false"),
        ({"shape": "0x16"}, "out of range"),
    ],
)
def test_what_cannot_be_parsed_is_refused(described: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BuildOptions.parse(described)
