"""Photographs as folders have them, to RGB arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from toolkit.errors import InputError

Pixels = NDArray[np.uint8]

CONVERSION = 1
"""Raised when the same file begins to give other pixels, so that caches of the old ones are not used."""

_SIXTEEN_BITS = 257


def read_photo(path: Path) -> Pixels:
    """A photograph as uint8 (H, W, 3), as a viewer would show it.

    Turned as EXIF says; the first picture of files with several; palettes and CMYK converted; grey repeated; 16-bit
    grey rounded to 8; what is transparent lies on white. Colour profiles are ignored: the network is to learn how
    values go together, in whatever space.

    Raises:
        InputError: not an image, damaged, or of a kind that has no plain meaning in RGB (floating-point, 32-bit).
    """
    try:
        with Image.open(path) as image:
            return _rgb(ImageOps.exif_transpose(image))
    # Pillow's decoders meet damaged files with these; SyntaxError is what broken PNG chunks give.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        values = np.asarray(image, np.uint32)
        grey = ((values + _SIXTEEN_BITS // 2) // _SIXTEEN_BITS).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(image.convert("RGB"))
