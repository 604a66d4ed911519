"""Finding and reading images as RGB arrays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError
from toolkit.workloads import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


def find_images(directory: Path, most: int) -> list[Path]:
    """Up to `most` image files below a directory, by name.

    Raises:
        InputError: it is no directory, or holds no image.
    """
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory", "Give a directory of images.")
    paths = sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{directory} holds no images", f"Looked for {', '.join(sorted(SUFFIXES))}.")
    return paths[:most]


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image as uint8 (H, W, 3).

    Raises:
        InputError: it cannot be read.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read image {path}: {error}") from error


def centre_crop(pixels: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """The middle of an image (H, W, 3) that is at least that large."""
    top, left = (have - want for have, want in zip(pixels.shape, shape.sides, strict=False))
    return pixels[top // 2 : top // 2 + shape.height, left // 2 : left // 2 + shape.width]
