"""Image sets: high-resolution images, with or without low-resolution counterparts."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.errors import InputError
from toolkit.images import centre_crop, find_images, images_below, read_rgb
from toolkit.images.resizing import downscaled
from toolkit.workloads import Shape

Kernel = Literal["matlab", "pillow"]
Pixels = NDArray[np.uint8]
"""RGB (H, W, 3)."""

LARGEST = Shape(2160, 3840)
"""Larger images are cropped to their centre: it bounds memory, and 4K is the largest size of interest."""

_MOST = 100_000

_SCALED = re.compile(r"x\d+")
"""Directory names for one scale, as in the usual test sets."""


@dataclass(frozen=True)
class Degradation:
    """How low-resolution images are computed for a set that has none.

    Attributes:
        kernel: bicubic with antialiasing, as computed by MATLAB or by Pillow.
        jpeg: quality of a subsequent JPEG compression (90 in the NTIRE 2023 track); None: no compression.
    """

    kernel: Kernel = "matlab"
    jpeg: int | None = None

    def __post_init__(self) -> None:
        if self.jpeg is not None and not 1 <= self.jpeg <= 100:
            raise InputError(f"JPEG quality {self.jpeg} is not between 1 and 100")

    def described(self) -> str:
        """Short text for reports."""
        return f"{self.kernel} bicubic" + ("" if self.jpeg is None else f", JPEG quality {self.jpeg}")

    def apply(self, pixels: Pixels, scale: int) -> Pixels:
        """Downscale `pixels` (H, W, 3), whose height and width must be multiples of `scale`."""
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
    """An image of a set; `low` is its low-resolution counterpart, if any."""

    group: str
    name: str
    high: Path
    low: Path | None = None


@dataclass(frozen=True)
class Pair:
    """A low-resolution image of even size, and its high-resolution original; at x1 both have the same size."""

    low: Pixels
    high: Pixels


def find_items(directories: Sequence[Path], scale: int) -> list[Item]:
    """Find all images of some directories, recursively.

    A directory with `HR` and `LR` subdirectories holds pairs; if these are below `x2`, `x3`, ..., only the directory of
    this scale is used. All other images are high-resolution images. Both images of a pair have the same name, except
    for the suffix and a trailing `x2` as in DIV2K.

    Raises:
        InputError: a directory does not exist or has no images, or an image of a pair is missing.
    """
    distinct = {directory.resolve(): str(directory) for directory in directories}
    names = [directory.name for directory in distinct]
    items: list[Item] = []
    for directory, given in distinct.items():
        items += _items(directory, directory.name if names.count(directory.name) == 1 else given, scale)
    return items


def load_pair(item: Item, scale: int, degradation: Degradation, fixed: Shape | None = None) -> Pair:
    """Read a pair, computing the low-resolution image if there is none; cropped to an even size of at most `LARGEST`.

    Args:
        item: the images.
        scale: of the pair.
        degradation: how to compute a missing low-resolution image.
        fixed: low-resolution size to crop to instead.

    Raises:
        InputError: an image cannot be read or is too small, the sizes of a pair do not match the scale, or an x1
            network has no pair and no compression: its input would be the original.
    """
    high = read_rgb(item.high)
    if item.low is None and scale == 1 and degradation.jpeg is None:
        raise InputError(
            f"{item.high} has no degraded image beside it, and at x1 the input would be the original itself",
            "Give pairs (directories HR and LR), or compress the originals: --jpeg 90.",
        )
    if item.low is None:
        high = np.ascontiguousarray(centre_crop(high, _low_size(item, high, scale, fixed).upscaled(scale)))
        return Pair(degradation.apply(high, scale), high)
    low = read_rgb(item.low)
    if any(abs(large - scale * small) >= scale for large, small in zip(high.shape[:2], low.shape[:2], strict=True)):
        sizes = f"{low.shape[1]}x{low.shape[0]} and {high.shape[1]}x{high.shape[0]}"
        raise InputError(f"{item.low} and {item.high} are not a pair for x{scale}: {sizes}")
    size = _low_size(item, high, scale, fixed)
    # An odd row or column is cropped at the bottom or right, as for published figures; larger crops are centred.
    top, left = (
        0 if have - want < 2 else (have - want) // 2 for have, want in zip(low.shape, size.sides, strict=False)
    )
    rows, columns = slice(top, top + size.height), slice(left, left + size.width)
    large = tuple(slice(part.start * scale, part.stop * scale) for part in (rows, columns))
    return Pair(low[rows, columns], high[large])


def _low_size(item: Item, high: Pixels, scale: int, fixed: Shape | None) -> Shape:
    """Low-resolution size that an original is cropped for."""
    height, width = high.shape[:2]
    largest = sorted(LARGEST.sides, reverse=height > width)
    size = fixed or Shape(
        *(min(side, most) // (2 * scale) * 2 for side, most in zip((height, width), largest, strict=True))
    )
    if not all(size.sides) or size.height * scale > height or size.width * scale > width:
        wanted = f"x{scale}" if fixed is None else f"x{scale} from {fixed}, the only size that the network supports"
        raise InputError(f"{item.high} is too small for {wanted}: {width}x{height}", "Remove it from the set.")
    return size


def bicubic(low: Pixels, scale: int) -> Pixels:
    """The baseline: a low-resolution image upscaled by Pillow's bicubic filter. At x1 it is the image itself."""
    size = low.shape[1] * scale, low.shape[0] * scale
    return np.asarray(Image.fromarray(low).resize(size, Image.Resampling.BICUBIC))


def _items(directory: Path, group: str, scale: int) -> list[Item]:
    bases = _pair_directories(directory)
    wanted = [base for base in bases if not _SCALED.fullmatch(base.name) or base.name == f"x{scale}"]
    if not bases:
        found = find_images(directory, _MOST)
    else:
        found = [path for path in images_below(directory) if not any(base in path.parents for base in bases)]
    loose = [Item(group, path.relative_to(directory).as_posix(), path) for path in found]
    pairs = [item for base in wanted for item in _pairs(base, _pair_group(base, directory, group), scale)]
    if not pairs and not loose:
        raise InputError(f"{directory} has no x{scale}/HR and x{scale}/LR")
    return [*pairs, *loose]


def _pair_directories(directory: Path) -> list[Path]:
    """Directories with `HR` and `LR` subdirectories: the directory itself, or others below it."""
    if not directory.is_dir():
        return []
    candidates = sorted({directory, *(path.parent for path in directory.rglob("HR"))})
    return [base for base in candidates if (base / "HR").is_dir() and (base / "LR").is_dir()]


def _pair_group(base: Path, directory: Path, group: str) -> str:
    named = base.parent if _SCALED.fullmatch(base.name) else base
    return group if directory == base or named == directory else named.relative_to(directory).as_posix()


def _pairs(base: Path, group: str, scale: int) -> list[Item]:
    high, low = base / "HR", base / "LR"
    partners = {path.relative_to(low).with_suffix(""): path for path in find_images(low, _MOST)}
    items = []
    for path in find_images(high, _MOST):
        name = path.relative_to(high)
        stem = name.with_suffix("")
        found = [partners.pop(key, None) for key in (stem, stem.with_name(f"{stem.name}x{scale}"))]
        partner = next((one for one in found if one is not None), None)
        if partner is None:
            raise InputError(
                f"{path} has no counterpart {low / name}", "Images of a pair must have the same name in HR and LR."
            )
        items.append(Item(group, name.as_posix(), path, partner))
    if partners:
        raise InputError(
            f"{next(iter(partners.values()))} has no counterpart in {high}",
            "Images of a pair must have the same name in HR and LR.",
        )
    return items
