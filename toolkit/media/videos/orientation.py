"""Orientation of frames: the rotation and mirroring of the display matrix, which players apply."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av

    from toolkit.media.upscaler import Planes

_EXACT = 0.001
"""Share of the largest element up to which others are rounding errors: matrices are written from float sin and cos."""


@dataclass(frozen=True)
class Orientation:
    """One of the eight orientations of a rectangle.

    Attributes:
        transposed: rows become columns, before mirroring.
        mirror_x: left and right are exchanged.
        mirror_y: top and bottom are exchanged.
        note: describes a display matrix that is none of the eight.
    """

    transposed: bool = False
    mirror_x: bool = False
    mirror_y: bool = False
    note: str = ""

    @property
    def turns(self) -> bool:
        """Whether frames are stored otherwise than displayed."""
        return self.transposed or self.mirror_x or self.mirror_y

    def upright(self, planes: Planes) -> Planes:
        """Planes (C, H, W) in display orientation; (C, W, H) if transposed."""
        if self.transposed:
            planes = planes.swapaxes(1, 2)
        if self.mirror_x:
            planes = planes[:, :, ::-1]
        if self.mirror_y:
            planes = planes[:, ::-1]
        return np.ascontiguousarray(planes)


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """The orientation in a decoded frame's display matrix."""
    from av.sidedata.sidedata import Type

    side_data: Any = frame.side_data
    for item in side_data:
        if item.type == Type.DISPLAYMATRIX:
            a, b, _, c, d, *_ = np.frombuffer(bytes(item), np.int32)[:9].tolist()
            return from_matrix(a, b, c, d)
    return Orientation()


def from_matrix(a: float, b: float, c: float, d: float) -> Orientation:
    """The nearest of the eight orientations.

    Args:
        a, b, c, d: the linear part of a display matrix (ISO/IEC 14496-12, 8.3.2): the pixel (x, y), with y downwards,
            is shown at (a*x + c*y, b*x + d*y). Only their signs and ratios matter.
    """
    kept, exchanged = abs(a) + abs(d), abs(b) + abs(c)
    transposed = exchanged > kept
    along_x, along_y = (c, b) if transposed else (a, d)
    others = (a, d) if transposed else (b, c)
    largest = max(abs(along_x), abs(along_y))
    if min(abs(along_x), abs(along_y)) <= _EXACT * largest:
        return Orientation(note="its display matrix is not a rotation and was ignored")
    note = ""
    if max(map(abs, others)) > _EXACT * largest:
        # Mirrored first where the determinant is negative, as FFmpeg describes a matrix.
        angle = math.degrees(math.atan2(b, a if a * d - b * c > 0 else -a))
        note = f"its display matrix turns frames by {angle:.0f} degrees clockwise; the nearest right angle was taken"
    return Orientation(transposed, along_x < 0, along_y < 0, note)
