"""Test inputs for comparisons: real images, noise, and edge cases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.graph.precision.calibration import calibration_images
from toolkit.images import centre_crop, find_images, read_rgb
from toolkit.port import PLANAR
from toolkit.workloads import Shape

DATA_VARIABLE = "RT4KSR_DATA"
_IMAGES = 5
_CROP = 256
_SIZE = Shape(48, 64)


@dataclass(frozen=True)
class TestInput:
    """A named input: float32 (1, 3, H, W). `image`: all values are in 0..1."""

    name: str
    array: NDArray[np.float32]
    image: bool = True

    __test__ = False  # pytest would collect the class for its name


def synthetic_inputs(shape: Shape | None = None) -> Iterator[TestInput]:
    """Noise, constants, extreme values and, unless a shape is given, odd and tiny sizes."""
    random = np.random.default_rng(0)
    base = shape or _SIZE
    full = (1, 3, base.height, base.width)
    yield TestInput("uniform noise", random.random(full, np.float32))
    yield TestInput("black", np.zeros(full, np.float32))
    yield TestInput("white", np.ones(full, np.float32))
    yield TestInput("black and white pixels", random.integers(0, 2, full).astype(np.float32))
    yield TestInput("large values (±1000)", random.uniform(-1000, 1000, full).astype(np.float32), image=False)
    yield TestInput("tiny values (1e-30)", np.full(full, 1e-30, np.float32), image=False)
    if shape is None:
        for odd in (Shape(37, 53), Shape(3, 64), Shape(1, 9), Shape(1, 1)):
            yield TestInput(f"noise {odd}", random.random((1, 3, odd.height, odd.width), np.float32))


def real_images(directory: Path | None = None, shape: Shape | None = None) -> list[TestInput]:
    """Up to five images as inputs: centre crops of at most 256x256 pixels, or of `shape`.

    Args:
        directory: searched recursively; default: Set5 below $RT4KSR_DATA if it exists, otherwise the bundled images.
        shape: crop to exactly this size, and repeat smaller images.

    Raises:
        InputError: the given directory has no readable image.
    """
    if directory is None:
        directory = Path(os.environ.get(DATA_VARIABLE, "../shared")) / "images" / "Set5" / "x2" / "LR"
        if not directory.is_dir():
            shipped = calibration_images()[:_IMAGES]
            return [TestInput(f"image {index + 1}", _input(image, shape)) for index, image in enumerate(shipped)]
    return [TestInput(f"image {path.name}", _input(read_rgb(path), shape)) for path in find_images(directory, _IMAGES)]


def _input(pixels: NDArray[np.uint8], shape: Shape | None) -> NDArray[np.float32]:
    height, width = pixels.shape[:2]
    target = shape or Shape(min(height, _CROP), min(width, _CROP))
    repeats = (-(-target.height // height), -(-target.width // width), 1)
    crop = centre_crop(np.tile(pixels, repeats), target)
    return PLANAR.from_image(crop)
