"""Sizes of images, and the 4K workloads, one for each scale from x1 to x4.

Text shows WIDTHxHEIGHT, as is usual for video; arrays, manifests and JSON hold (height, width).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolkit.errors import InputError, suggestion

LARGEST_SIDE = 16384

_SIZE = re.compile(r"(\d{1,6})[xX](\d{1,6})", re.ASCII)


@dataclass(frozen=True)
class Shape:
    """Height and width of an image in pixels.

    Example:
        >>> shape = toolkit.Shape(height=1080, width=1920)
        >>> print(shape, shape.upscaled(2).sides)
        1920x1080 (2160, 3840)
    """

    height: int
    width: int

    def __str__(self) -> str:
        """WIDTHxHEIGHT, which `parse_shape` reads."""
        return f"{self.width}x{self.height}"

    @property
    def in_words(self) -> str:
        """The size with the order stated, to confirm a size that a user typed."""
        return f"{self.width} wide, {self.height} high"

    @property
    def sides(self) -> tuple[int, int]:
        return self.height, self.width

    def upscaled(self, scale: int) -> Shape:
        return Shape(self.height * scale, self.width * scale)


@dataclass(frozen=True)
class Workload:
    """An input size. `scale` is the upscaling factor that gives 4K; None: any scale."""

    name: str
    shape: Shape
    scale: int | None = None


WORKLOADS = {
    "540p-4k": Workload("540p-4k", Shape(540, 960), 4),
    "720p-4k": Workload("720p-4k", Shape(720, 1280), 3),
    "1080p-4k": Workload("1080p-4k", Shape(1080, 1920), 2),
    "2160p-4k": Workload("2160p-4k", Shape(2160, 3840), 1),
}
"""By name, the smallest input first. All end at 3840x2160."""

NAMED_SHAPES = {
    "540p": Shape(540, 960),
    "720p": Shape(720, 1280),
    "1080p": Shape(1080, 1920),
    "1440p": Shape(1440, 2560),
    "2160p": Shape(2160, 3840),
    "4k": Shape(2160, 3840),
}


def parse_shape(text: str) -> Shape:
    """`1080p`, `4k` or WIDTHxHEIGHT (1..16384 each).

    Raises:
        InputError: anything else.
    """
    if named := NAMED_SHAPES.get(text.lower()):
        return named
    match = _SIZE.fullmatch(text)
    if not match:
        raise InputError(
            f"shape {text!r} is not a size",
            f"Write WIDTHxHEIGHT, for example 1920x1080, or one of {', '.join(NAMED_SHAPES)}.",
        )
    shape = Shape(height=int(match[2]), width=int(match[1]))
    if not all(1 <= side <= LARGEST_SIDE for side in shape.sides):
        raise InputError(f"shape {text!r} is out of range", f"Each side must be 1 to {LARGEST_SIDE} pixels.")
    return shape


def parse_workload(text: str) -> Workload:
    """A 4K workload by name, or the size of an input, WIDTHxHEIGHT, for networks of any scale.

    Named sizes are not workloads: `4k` could be the input or the result.

    Raises:
        InputError: it is neither.
    """
    if text in WORKLOADS:
        return WORKLOADS[text]
    if not _SIZE.fullmatch(text):
        raise InputError(
            f"there is no workload {text!r}",
            f"{suggestion(text, WORKLOADS)} Or give the size of the input as WIDTHxHEIGHT, for example 1280x720.",
        )
    shape = parse_shape(text)
    return Workload(str(shape), shape)


def workload_for_scale(scale: int) -> Workload | None:
    """The 4K workload for networks of this scale, x1 to x4; None: there is none."""
    return next((workload for workload in WORKLOADS.values() if workload.scale == scale), None)
