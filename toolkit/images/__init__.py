"""Finding and reading images as RGB arrays."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError
from toolkit.images.decoders import NOT_DECODED, PLUGIN_SUFFIXES
from toolkit.workloads import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@cache
def suffixes() -> frozenset[str]:
    """Suffixes, in lower case, of the files that Pillow reads, including those of the plugins in the extra `images`."""
    from PIL import Image

    known = Image.registered_extensions()
    read = {suffix for suffix, name in known.items() if name in Image.OPEN and name not in NOT_DECODED}
    return PLUGIN_SUFFIXES | read


def find_images(directory: Path, most: int) -> list[Path]:
    """Up to `most` image files below a directory, sorted by path; hidden files are skipped.

    Raises:
        InputError: it is not a directory, has no images, or a directory below it cannot be listed.
    """
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory", "Give a directory of images.")
    paths = images_below(directory)
    if not paths:
        raise InputError(
            f"{directory} contains no images",
            "Supported are .png, .jpg, .tif, and all other formats that Pillow reads.",
        )
    return paths[:most]


def images_below(directory: Path) -> list[Path]:
    """All image files below a directory, sorted by path; hidden files are skipped.

    Raises:
        InputError: a directory cannot be listed. It is not skipped, since a measurement, calibration or training on a
            part of the images would have another result.
    """
    found: list[Path] = []
    for home, _, files in os.walk(directory, onerror=_refuse):
        found += (path for name in files if _is_image(path := Path(home, name)))
    return sorted(found)


def _refuse(error: OSError) -> None:
    raise InputError(f"cannot list {error.filename}: {error.strerror}", "Check its permissions, or move it.") from error


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in suffixes() and not path.name.startswith(".") and path.is_file()


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image as uint8 (H, W, 3), upright; grey is repeated, transparency composited on white, 16 bits rounded to 8.

    Raises:
        InputError: it cannot be read, or its samples are not supported.
        Unavailable: reading it needs the extra `images`.
    """
    from toolkit.images.reading import read_picture
    from toolkit.images.rgb import as_rgb

    return as_rgb(read_picture(path))


def centre_crop(pixels: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """The centre of an image (H, W, 3), which must be at least as large as `shape`."""
    top, left = (have - want for have, want in zip(pixels.shape, shape.sides, strict=False))
    return pixels[top // 2 : top // 2 + shape.height, left // 2 : left // 2 + shape.width]
