"""The quality of JPEG files, on the scale of the Independent JPEG Group's library, read from their quantisation tables.

The library scales the tables of annex K of the JPEG standard (ITU-T T.81) by the quality. Other programs (Photoshop,
cameras) have tables of their own; their quality is that whose tables are nearest to them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.images.decoders import DECODER_ERRORS

_JPEG = b"\xff\xd8\xff"

_LUMA = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61),
        *(12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77),
        *(24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101),
        *(72, 92, 95, 98, 112, 100, 103, 99),
    ]
)
"""Table K.1, row by row."""


@dataclass(frozen=True)
class JpegQuality:
    """The quality of a JPEG file.

    Attributes:
        value: 1 (worst) to 100.
        exact: whether its luma table is that of the library; otherwise the nearest quality.
    """

    value: int
    exact: bool

    def __str__(self) -> str:
        return f"JPEG quality {'' if self.exact else 'about '}{self.value}"


def jpeg_quality(path: Path) -> JpegQuality | None:
    """The quality of a file; None: it is no JPEG file, or cannot be read."""
    try:
        with path.open("rb") as file:
            if file.read(len(_JPEG)) != _JPEG:
                return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                tables: dict[int, Sequence[int]] = getattr(image, "quantization", {})
    except (*DECODER_ERRORS, Image.DecompressionBombError):
        return None  # reading its pixels will say why
    luma = tables.get(0)
    return None if luma is None or len(luma) != _LUMA.size else _nearest(np.asarray(luma))


def _nearest(table: NDArray[np.int_]) -> JpegQuality:
    # Ratios, not differences: a step of 3 instead of 2 matters more than one of 90 instead of 89.
    distances = [float(np.abs(np.log(table / _scaled(quality))).sum()) for quality in range(1, 101)]
    # Of several that are equally near, the best: quality 1 and 2 of 8-bit tables are nearly the same.
    best = max(range(1, 101), key=lambda quality: (-distances[quality - 1], quality))
    return JpegQuality(best, distances[best - 1] == 0)


def _scaled(quality: int) -> NDArray[np.int_]:
    """The luma table of a quality, as `jpeg_set_quality` makes it for baseline files."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table: NDArray[np.int_] = np.clip((_LUMA * percent + 50) // 100, 1, 255)
    return table
