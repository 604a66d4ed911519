"""Metrics against another library."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from toolkit.errors import InputError
from toolkit.quality.measurement import PATCH, Patch, measure, worst_patch
from toolkit.quality.metrics import luma, psnr, squared_error, ssim


def images(height: int = 70, width: int = 90) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    original = random.integers(0, 256, (height, width, 3), np.uint8)
    noisy = np.clip(original + random.normal(0, 9, original.shape), 0, 255).astype(np.uint8)
    return noisy, original


def test_psnr_is_skimages() -> None:
    noisy, original = images()
    ours = psnr(squared_error(noisy, original))
    assert ours == pytest.approx(peak_signal_noise_ratio(original, noisy, data_range=255), abs=1e-9)
    assert psnr(squared_error(original, original)) == math.inf


@pytest.mark.parametrize("height", [11, 70, 600])
def test_ssim_is_skimages(height: int) -> None:
    """Also where it is computed in more than one strip."""
    noisy, original = (luma(image) for image in images(height))
    theirs = structural_similarity(
        original, noisy, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, full=True
    )[1]
    valid = theirs[5:-5, 5:-5].mean()
    assert ssim(noisy, original) == pytest.approx(valid, abs=1e-12)
    assert ssim(original, original) == pytest.approx(1, abs=1e-12)


def test_ssim_needs_its_window() -> None:
    with pytest.raises(InputError, match="11x11"):
        ssim(np.zeros((10, 50)), np.zeros((10, 50)))


def test_luma_of_known_colours() -> None:
    """ITU-R BT.601: black 16, white 235, and red, green, blue apart."""
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    np.testing.assert_allclose(luma(colours), [16, 235, 81.481, 144.553, 40.966], rtol=0, atol=1e-9)


def test_measure_leaves_out_the_border() -> None:
    _, original = images(140, 150)
    broken = original.copy()
    broken[:2] = broken[-2:] = broken[:, :2] = broken[:, -2:] = 0
    assert measure(broken, original, 2).metrics.psnr_y == 100
    assert measure(broken, original, 0).metrics.psnr_y < 30


@pytest.mark.parametrize("shape", [(2 * PATCH + 10, 3 * PATCH + 20), (PATCH, 2 * PATCH), (PATCH + 8, PATCH + 9)])
def test_the_worst_patch_is_the_worst_of_all_there_are(shape: tuple[int, int]) -> None:
    noisy, original = images(*shape)
    border = 4
    squared = (luma(noisy) - luma(original))[border:-border, border:-border] ** 2
    height, width = (min(side, PATCH) for side in squared.shape)
    windows = np.lib.stride_tricks.sliding_window_view(squared, (height, width)).mean(axis=(2, 3))
    top, left = np.unravel_index(windows.argmax(), windows.shape)
    found = worst_patch(noisy, original, border)
    assert found.corner == (top + border, left + border)
    assert found.difference == pytest.approx(np.sqrt(windows.max()), abs=1e-9)
    assert measure(noisy, original, border).worst == found


def test_the_last_columns_are_looked_at_too() -> None:
    _, original = images(PATCH + 40, PATCH + 50)
    broken = original.copy()
    broken[-3, -3] ^= 128
    found = worst_patch(broken, original, 2)
    assert found.corner == (2 + 36, 2 + 46)
    assert found.difference == pytest.approx(abs(luma(broken) - luma(original)).max() / PATCH)
    assert worst_patch(original, original, 2) == Patch((2, 2), 0.0)


def test_a_small_image_is_one_patch() -> None:
    noisy, original = images(20, 30)
    assert worst_patch(noisy, original, 2).corner == (2, 2)
