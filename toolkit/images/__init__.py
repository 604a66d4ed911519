"""Finding and reading images as RGB arrays."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError
from toolkit.workloads import Shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NO_PICTURES = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
"""Formats that Pillow recognises and does not decode by itself."""

_LARGEST_WORD = 2**16 - 1


@cache
def suffixes() -> frozenset[str]:
    """What names of files end with, in lower case, that Pillow reads."""
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(suffix for suffix, name in known.items() if name in Image.OPEN and name not in _NO_PICTURES)


def find_images(directory: Path, most: int) -> list[Path]:
    """Up to `most` image files below a directory, by name; hidden ones are left out.

    Raises:
        InputError: it is no directory, or holds no image.
    """
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory", "Give a directory of images.")
    paths = images_below(directory)
    if not paths:
        raise InputError(f"{directory} holds no images", "Looked for .png, .jpg, .tif, and all else that Pillow reads.")
    return paths[:most]


def images_below(directory: Path) -> list[Path]:
    """All image files below a directory, by name; hidden ones are left out."""
    return sorted(path for path in directory.rglob("*") if _is_image(path))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in suffixes() and not path.name.startswith(".") and path.is_file()


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An image as uint8 (H, W, 3): grey ones thrice, without transparency, 16 bits rounded to 8.

    Raises:
        InputError: it cannot be read, or its values have no known range.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode == "F" or image.mode.startswith("I"):
                return _from_deep_grey(np.asarray(image), path)
            return np.asarray(image.convert("RGB"))
    # Pillow's decoders raise SyntaxError and ValueError for damaged files too.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read image {path}: {error}", "Leave it out.") from error


def _from_deep_grey(values: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """Grey of 16 bits, which Pillow would cut off at 255."""
    import numpy as np

    if values.dtype.kind == "f" or values.min() < 0 or values.max() > _LARGEST_WORD:
        raise InputError(f"{path} holds {values.dtype} values of no known range", "Save it with 8 or 16 bits a value.")
    grey = np.rint(values.astype(np.float64) / (_LARGEST_WORD / 255)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def centre_crop(pixels: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """The middle of an image (H, W, 3) that is at least that large."""
    top, left = (have - want for have, want in zip(pixels.shape, shape.sides, strict=False))
    return pixels[top // 2 : top // 2 + shape.height, left // 2 : left // 2 + shape.width]
