"""Engines that the other tests compile with less optimisation compute the bits of those that users compile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from native.networks import strided
from native.running import Native


def test_the_level_of_optimisation_changes_no_bit(
    native: Callable[..., Native], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not os.environ.get("CXX", "").endswith("quick_g++.sh"):
        pytest.skip("engines are compiled as users compile them")
    quick, optimised = native(strided()), native(strided())
    frame = quick.noise(14, 38)
    expected = quick.run(frame)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    np.testing.assert_array_equal(optimised.run(frame), expected)
    assert optimised.library() is not quick.library()
    assert list(tmp_path.rglob("*.so"))
