"""Patches are degraded as MATLAB degrades images."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import DATA, needs_data

from toolkit.images import read_rgb
from toolkit.images.resizing import downscaled
from toolkit.training.degradation import degrade


@needs_data
@pytest.mark.parametrize("scale", [2, 3])
def test_every_pixel_is_matlabs(scale: int) -> None:
    """Images that MATLAB's imresize made; in float32 rounding could differ, and does not."""
    originals = sorted(DATA.glob(f"images/Set*/x{scale}/HR/*.png"))
    assert len(originals) == 19
    for path in originals:
        low = read_rgb(path.parents[1] / "LR" / path.name)
        np.testing.assert_array_equal(degrade(read_rgb(path)[None], scale)[0], low, err_msg=path.name)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_it_agrees_with_the_slow_one(scale: int, height: int, width: int, count: int, seed: int) -> None:
    """Any whole scale, down to one pixel. Ties may be rounded the other way in float32: by one grey level, rarely."""
    high = np.random.default_rng(seed).integers(0, 256, (count, height * scale, width * scale, 3), np.uint8)
    low = degrade(high, scale)
    assert low.shape == (count, height, width, 3)
    difference = np.abs(low.astype(int) - downscaled(high, scale))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.02


def test_jpeg_comes_after_the_downscaling() -> None:
    high = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    low, compressed = degrade(high, 2), degrade(high, 2, 90)
    for plain, found in zip(low, compressed, strict=True):
        stream = io.BytesIO()
        Image.fromarray(plain).save(stream, "JPEG", quality=90)
        np.testing.assert_array_equal(found, np.asarray(Image.open(stream)))
        assert not np.array_equal(plain, found)
