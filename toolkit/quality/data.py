"""Image sets: high-resolution images, alone or with their low-resolution partners."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.errors import InputError
from toolkit.images import centre_crop, find_images, read_rgb
from toolkit.resize import downscaled
from toolkit.workloads import Shape

Kernel = Literal["matlab", "pillow"]
Pixels = NDArray[np.uint8]
"""RGB (H, W, 3)."""

LARGEST = Shape(2160, 3840)
"""Larger photographs are cropped to their middle: quality at 4K is asked for, within bounded memory."""

_MOST = 100_000


@dataclass(frozen=True)
class Degradation:
    """How low-resolution images are made where a set has none.

    Attributes:
        kernel: bicubic with antialiasing, as MATLAB or as Pillow compute it.
        jpeg: quality of a JPEG compression after it (90 in the NTIRE 2023 track); None: none.
    """

    kernel: Kernel = "matlab"
    jpeg: int | None = None

    def __post_init__(self) -> None:
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise InputError(f"JPEG quality {self.jpeg} is not between 1 and 100")

    def described(self) -> str:
        """In a few words."""
        return f"{self.kernel} bicubic" + ("" if self.jpeg is None else f", JPEG quality {self.jpeg}")

    def apply(self, pixels: Pixels, scale: int) -> Pixels:
        """The low-resolution image of `pixels`, whose sides are multiples of `scale`."""
        if self.kernel == "matlab":
            small = downscaled(pixels, scale)
        else:
            size = pixels.shape[1] // scale, pixels.shape[0] // scale
            small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        if self.jpeg is None:
            return small
        stream = io.BytesIO()
        Image.fromarray(small).save(stream, "JPEG", quality=self.jpeg)
        with Image.open(stream) as image:
            return np.asarray(image.convert("RGB"))


@dataclass(frozen=True)
class Item:
    """An image of a set; `low` is its low-resolution partner, if it has one."""

    group: str
    name: str
    high: Path
    low: Path | None = None


@dataclass(frozen=True)
class Pair:
    """A low-resolution image of even size, and the high-resolution one it should become."""

    low: Pixels
    high: Pixels


def find_items(directories: Sequence[Path], scale: int) -> list[Item]:
    """All images of some directories, recursively.

    A directory with `HR` and `LR` in it, or in `x2` or `x3` in it, holds pairs of the same name; any other holds
    high-resolution images.

    Raises:
        InputError: no such directory, no image in it, or a partner is missing.
    """
    items: list[Item] = []
    for directory in directories:
        items += _items(directory, scale)
    return items


def load_pair(item: Item, scale: int, degradation: Degradation) -> Pair:
    """Read an image and its partner, or make one; cut to an even low-resolution size, and to `LARGEST`.

    Raises:
        InputError: an image cannot be read, is too small, or its partner has another size.
    """
    high = read_rgb(item.high)
    if item.low is not None:
        low = read_rgb(item.low)
        height, width = (side // 2 * 2 for side in low.shape[:2])
        low, high = low[:height, :width], high[: height * scale, : width * scale]
        if high.shape[:2] != (height * scale, width * scale) or not high.size:
            sizes = f"{low.shape[1]}x{low.shape[0]}, and {high.shape[1]}x{high.shape[0]}"
            raise InputError(f"{item.low} and {item.high} are no pair for x{scale}: {sizes}")
        return Pair(low, high)
    largest = sorted(LARGEST.sides, reverse=high.shape[0] > high.shape[1])
    height, width = (
        min(side, most) // (2 * scale) * 2 * scale for side, most in zip(high.shape, largest, strict=False)
    )
    if not height or not width:
        raise InputError(f"{item.high} is too small for x{scale}: {high.shape[1]}x{high.shape[0]}", "Leave it out.")
    high = np.ascontiguousarray(centre_crop(high, Shape(height, width)))
    return Pair(degradation.apply(high, scale), high)


def bicubic(low: Pixels, scale: int) -> Pixels:
    """The baseline: what Pillow's bicubic makes of a low-resolution image."""
    size = low.shape[1] * scale, low.shape[0] * scale
    return np.asarray(Image.fromarray(low).resize(size, Image.Resampling.BICUBIC))


def _items(directory: Path, scale: int) -> list[Item]:
    for base in (directory, directory / f"x{scale}"):
        high, low = base / "HR", base / "LR"
        if high.is_dir() and low.is_dir():
            return [_pair(directory.name, high, low, path) for path in find_images(high, _MOST)]
    if (directory / "x2").is_dir() or (directory / "x3").is_dir():
        raise InputError(f"{directory} has no x{scale}/HR and x{scale}/LR")
    return [
        Item(directory.name, path.relative_to(directory).as_posix(), path) for path in find_images(directory, _MOST)
    ]


def _pair(group: str, high: Path, low: Path, path: Path) -> Item:
    name = path.relative_to(high)
    partner = low / name
    if not partner.is_file():
        raise InputError(f"{path} has no partner {partner}", "Pairs have the same name in HR and LR.")
    return Item(group, name.as_posix(), path, partner)
