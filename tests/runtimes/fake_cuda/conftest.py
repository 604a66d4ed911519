"""Fixtures of the tests on the stand-in for the CUDA driver."""

import gc
from collections.abc import Iterator

import pytest

from toolkit.runtimes.cuda.driver import Cuda


@pytest.fixture
def cuda() -> Cuda:
    return Cuda()


@pytest.fixture(autouse=True)
def everything_is_given_back() -> Iterator[None]:
    from runtimes.fake_cuda.stand_in import DRIVER

    yield
    gc.collect()
    assert DRIVER.fake_live() == 0
