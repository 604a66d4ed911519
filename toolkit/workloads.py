"""The two jobs RT4KSR was made for, and how sizes are written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolkit.errors import InputError

LARGEST_SIDE = 16384


@dataclass(frozen=True)
class Shape:
    """Height and width of an image in pixels."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @property
    def sides(self) -> tuple[int, int]:
        return self.height, self.width

    def upscaled(self, scale: int) -> Shape:
        return Shape(self.height * scale, self.width * scale)


@dataclass(frozen=True)
class Workload:
    """An input size; for the two 4K workloads also the scale that brings it to 4K (None: any scale)."""

    name: str
    shape: Shape
    scale: int | None = None


WORKLOADS = {
    "720p-4k": Workload("720p-4k", Shape(720, 1280), 3),
    "1080p-4k": Workload("1080p-4k", Shape(1080, 1920), 2),
}

NAMED_SHAPES = {
    "540p": Shape(540, 960),
    "720p": Shape(720, 1280),
    "1080p": Shape(1080, 1920),
    "1440p": Shape(1440, 2560),
    "2160p": Shape(2160, 3840),
    "4k": Shape(2160, 3840),
}


def parse_shape(text: str) -> Shape:
    """`1080p`, `4k` or `HxW` (height first, 1..16384 each).

    Raises:
        InputError: anything else.
    """
    if named := NAMED_SHAPES.get(text.lower()):
        return named
    match = re.fullmatch(r"(\d{1,6})[xX](\d{1,6})", text)
    if not match:
        raise InputError(
            f"shape {text!r} is not a size", f"Write HxW, height first, or one of {', '.join(NAMED_SHAPES)}."
        )
    shape = Shape(int(match[1]), int(match[2]))
    if not all(1 <= side <= LARGEST_SIDE for side in shape.sides):
        raise InputError(f"shape {text!r} is out of range", f"Each side must be 1 to {LARGEST_SIDE} pixels.")
    return shape


def parse_workload(text: str) -> Workload:
    """A 4K workload by name, or any size (`HxW`, `720p`, ...) for networks of any scale.

    Raises:
        InputError: it is neither.
    """
    if text in WORKLOADS:
        return WORKLOADS[text]
    try:
        return Workload(text, parse_shape(text))
    except InputError as error:
        raise InputError(
            f"there is no workload {text!r}", f"Choose from {', '.join(WORKLOADS)}, or give a size: HxW."
        ) from error


def workload_for_scale(scale: int) -> Workload | None:
    """The 4K workload a network of this scale was made for, if there is one."""
    return next((workload for workload in WORKLOADS.values() if workload.scale == scale), None)
