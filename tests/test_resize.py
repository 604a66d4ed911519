"""MATLAB's bicubic, against images that MATLAB made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import DATA, needs_data

from toolkit.errors import InputError
from toolkit.images import read_rgb
from toolkit.images.resizing import downscaled, resize_bicubic
from toolkit.workloads import Shape


@needs_data
@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_every_pixel_is_matlabs(name: str, scale: int) -> None:
    base = DATA / "images" / name / f"x{scale}"
    originals = sorted((base / "HR").iterdir())
    assert len(originals) == {"Set5": 5, "Set14": 14}[name]
    for path in originals:
        np.testing.assert_array_equal(downscaled(read_rgb(path), scale), read_rgb(base / "LR" / path.name))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_a_constant_image_stays_what_it_is(height: int, width: int, tall: int, wide: int, grey: int) -> None:
    image = np.full((height, width, 3), grey, np.uint8)
    assert np.array_equal(resize_bicubic(image, Shape(tall, wide)), np.full((tall, wide, 3), grey))


def test_batches_are_resized_alike() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 18, 3), np.uint8)
    together = downscaled(images, 3)
    assert together.shape == (4, 4, 6, 3)
    assert all(np.array_equal(together[index], downscaled(images[index], 3)) for index in range(4))


def test_enlarging_interpolates() -> None:
    """In the middle of a ramp, bicubic is exact."""
    ramp = np.tile(np.arange(0, 120, 4, dtype=np.uint8)[None, :, None], (8, 1, 3))
    large = resize_bicubic(ramp, Shape(16, 60))[8, 10:50, 0]
    np.testing.assert_array_equal(large, np.floor((np.arange(10, 50) + 0.5) * 2 - 2 + 0.5))


@pytest.mark.parametrize("size", [(7, 8), (0, 4)])
def test_sides_must_be_multiples(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="not multiples"):
        downscaled(np.zeros((*size, 3), np.uint8), 2)
