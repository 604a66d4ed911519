"""PSNR of luma, against scikit-image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from photographs import picture
from PIL import Image
from samples import DATA, needs_data, network, released
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from toolkit.images.resizing import downscaled
from toolkit.network.checkpoint import load_checkpoint
from toolkit.network.fusion import fuse
from toolkit.network.module import numpy_function
from toolkit.quality.data import find_items
from toolkit.training.validation import psnr_y, validate

CPU = torch.device("cpu")


def reference(output: np.ndarray, original: np.ndarray) -> float:
    y, truth = (rgb2ycbcr(image)[..., 0] for image in (output, original))
    return float(peak_signal_noise_ratio(truth, y, data_range=255))


def test_psnr_is_that_of_luma() -> None:
    original = picture(20, 30)
    output = np.clip(original + np.random.default_rng(0).normal(0, 4, original.shape), 0, 255).astype(np.uint8)
    assert psnr_y(output, original) == pytest.approx(reference(output, original), abs=1e-6)
    inner = reference(output[2:-2, 2:-2], original[2:-2, 2:-2])
    assert psnr_y(output, original, border=2) == pytest.approx(inner, abs=1e-6)
    assert psnr_y(original, original) == 100


def test_validation_upscales_what_was_downscaled(photos: Path) -> None:
    """With the unmerged network in float64, rounded as images are; sides that do not fit are cut at both ends."""
    made = network()
    function = numpy_function(made, "float64")
    expected = []
    for path in sorted(photos.iterdir()):
        original = np.asarray(Image.open(path))
        height, width = (side // 4 * 4 for side in original.shape[:2])
        top, left = ((have - want) // 2 for have, want in zip(original.shape, (height, width), strict=False))
        original = original[top : top + height, left : left + width]
        output = function(downscaled(original, 2).transpose(2, 0, 1)[None] / 255)[0].transpose(1, 2, 0)
        expected.append(reference(np.round(np.clip(output, 0, 1) * 255).astype(np.uint8), original))
    found = list(validate(fuse(made), find_items([photos], 2), None, CPU))
    assert found == pytest.approx(expected, abs=1e-3)


@needs_data
@pytest.mark.parametrize("scale", [2, 3])
def test_the_released_network_scores_what_it_is_known_to(scale: int) -> None:
    known = json.loads((DATA / "reference.json").read_text())
    made = load_checkpoint(released(scale)).network
    found = list(validate(fuse(made), find_items([DATA / "images" / "Set5"], scale), None, CPU, border=scale))
    assert np.mean(found) == pytest.approx(known[f"x{scale}"]["Set5"]["psnr_y"], abs=known["tolerance_db"])
