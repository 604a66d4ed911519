"""Chroma planes that bypass the network: read from decoded frames, enlarged by Lanczos interpolation, and encoded.

A network sees chroma only after it was interpolated to the resolution of luma and joined with it to RGB, and what it
returns is reduced again for the encoder. These planes are interpolated once, from the samples in the file to those in
the output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.media.videos.colour import BUFFER_MATRICES, FLAGS, RGB, Colour, conversion
from toolkit.media.videos.pixel_formats import chroma_of, depth, has_chroma, is_planar, subsampling
from toolkit.media.videos.transparency import plane_samples
from toolkit.network.bundled_files import Purpose
from toolkit.workloads import Shape

if TYPE_CHECKING:
    import av

    from toolkit.media.upscaler import Planes
    from toolkit.media.videos.orientation import Orientation

Chroma = Literal["network", "lanczos"]
"""Where the chroma of a result comes from."""

_BETTER: dict[Purpose | None, Chroma] = {"clean": "lanczos", "video": "network", "int": "lanczos"}
"""What measures better with the toolkit's own weights (`validation/bench/codecs.py`)."""

_SUPPORT = 3
"""Samples to each side that Lanczos interpolation depends on, of the coarser grid."""

_START, _MIDDLE, _END = 0.0, 0.5, 1.0
_PLACES = {
    "left": (_MIDDLE, _START),
    "center": (_MIDDLE, _MIDDLE),
    "topleft": (_START, _START),
    "top": (_START, _MIDDLE),
    "bottomleft": (_END, _START),
    "bottom": (_END, _MIDDLE),
}
"""Chroma samples in their cells of luma pixels, down and across: at the first pixel, between both ends, at the last."""


@dataclass(frozen=True)
class ChromaGrid:
    """Where the chroma samples of a frame lie, and what their values mean.

    Attributes:
        luma: height and width of the frame.
        cell: luma rows and columns per chroma sample.
        first: distance of the first sample from the upper and the left edge of the frame, in luma pixels; the centre of
            the first luma pixel is at 0.5.
        depth: bits per sample.
        full: whether values have full range.
    """

    luma: Shape
    cell: tuple[int, int]
    first: tuple[float, float]
    depth: int
    full: bool

    @property
    def shape(self) -> Shape:
        """Of a plane."""
        down, across = (-(-side // cell) for side, cell in zip(self.luma.sides, self.cell, strict=True))
        return Shape(down, across)

    def upright(self, orientation: Orientation) -> ChromaGrid:
        """The grid of frames after `Orientation.upright`."""
        axes = list(zip(self.luma.sides, self.cell, self.first, self.shape.sides, strict=True))
        if orientation.transposed:
            axes.reverse()
        first = tuple(
            side - cell * (count - 1) - first if mirrored else first  # the last sample is the first one now
            for (side, cell, first, count), mirrored in zip(
                axes, (orientation.mirror_y, orientation.mirror_x), strict=True
            )
        )
        (height, down, *_), (width, across, *_) = axes
        return ChromaGrid(Shape(height, width), (down, across), (first[0], first[1]), self.depth, self.full)


def default_chroma(purpose: Purpose | None) -> Chroma:
    """Where chroma comes from unless a user says so.

    Args:
        purpose: of the toolkit's own weights; None: another network, whose colours may be what it was trained for.
    """
    return _BETTER.get(purpose, "network")


def grid_of(shape: Shape, pix_fmt: str, colour: Colour) -> ChromaGrid | None:
    """The chroma samples of frames; None: RGB and grey frames have none.

    Args:
        shape: of the frames.
        pix_fmt: FFmpeg's name.
        colour: its location is that of chroma.
    """
    if colour.matrix == RGB or not has_chroma(pix_fmt):
        return None
    across, down = subsampling(pix_fmt)
    first = tuple(
        0.5 + place * (cell - 1) for place, cell in zip(_PLACES[colour.location], (down, across), strict=True)
    )
    return ChromaGrid(shape, (down, across), (first[0], first[1]), depth(pix_fmt), colour.full)


class ChromaReader:
    """Reads the chroma planes of decoded frames."""

    def __init__(self, template: av.VideoFrame, colour: Colour) -> None:
        """Prepare reading.

        Args:
            template: a frame with the size and format of all others, which have chroma.
            colour: of the frames.
        """
        name = template.format.name
        self._graph: Any = None
        if not is_planar(name):  # the same samples, arranged in planes
            bits = depth(name)
            target = f"yuv{chroma_of(name)}p{'' if bits == 8 else f'{bits}le'}"
            kept = "full" if colour.full else "limited"
            options = {"flags": FLAGS, "in_range": kept, "out_range": kept}
            self._graph = conversion(template, BUFFER_MATRICES[colour.matrix], colour.full, options, target)

    def __call__(self, frame: av.VideoFrame) -> Planes:
        """Both planes, (2, h, w), as they are in the frame."""
        if self._graph is not None:
            self._graph.vpush(frame)
            frame = self._graph.vpull()
        planes: Planes = np.stack(chroma_planes(frame))
        return planes


class ChromaEnlarger:
    """Interpolates chroma planes of one grid to another, whose luma is that of the first, enlarged or reduced."""

    def __init__(self, source: ChromaGrid, target: ChromaGrid, shape: Shape | None = None) -> None:
        """Prepare the interpolation.

        Args:
            source: of the planes that are given.
            target: of the planes that are returned.
            shape: of these, where they extend beyond the grid because frames are padded for an encoder.
        """
        self._shape = shape or target.shape
        self._boxes = [
            _box(*axis)
            for axis in zip(
                *(source.luma.sides, source.cell, source.first, source.shape.sides),
                *(target.luma.sides, target.cell, target.first, self._shape.sides),
                strict=True,
            )
        ]
        self._gain = _excursion(target) / _excursion(source)
        self._middles = 1 << (source.depth - 1), 1 << (target.depth - 1)
        self._most = (1 << target.depth) - 1
        self._kind: Any = np.uint8 if target.depth <= 8 else np.uint16

    def __call__(self, planes: Planes) -> Planes:
        """Enlarge planes (2, h, w); rounded to nearest."""
        return np.stack([self._plane(plane) for plane in planes])

    def _plane(self, plane: NDArray[Any]) -> NDArray[Any]:
        (top, bottom, rows), (left, right, columns) = self._boxes
        padded = np.pad(plane, ((rows, rows), (columns, columns)), mode="edge").astype(np.float32)
        # In floating point: Pillow would round 8 bits after each axis, which costs half a decibel at 50 dB.
        size, box = (self._shape.width, self._shape.height), (left, top, right, bottom)
        made = np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.LANCZOS, box))
        given, returned = self._middles
        samples = (made - np.float32(given)) * np.float32(self._gain) + np.float32(returned)
        result: NDArray[Any] = np.rint(np.clip(samples, 0, self._most)).astype(self._kind)
        return result


def _box(
    given: int, given_cell: int, given_first: float, count: int, side: int, cell: int, first: float, wanted: int
) -> tuple[float, float, int]:
    """Of one axis: begin and end of the `wanted` samples, in samples of the source after padding, and the padding.

    The sample in place x of the target lies in place x * given / side of the source's luma, and the sample there with
    number n covers n to n + 1.
    """
    ratio = side / given
    step = cell / (ratio * given_cell)
    begin = (first / ratio - given_first) / given_cell + 0.5 - step / 2
    end = begin + wanted * step
    padding = math.ceil(_SUPPORT * max(1.0, step) + max(-begin, end - count, 0))
    return begin + padding, end + padding, padding


def _excursion(grid: ChromaGrid) -> float:
    """Steps from the smallest to the largest chroma (ITU-R BT.709, BT.2100)."""
    return float((1 << grid.depth) - 1 if grid.full else 224 << (grid.depth - 8))


def chroma_planes(frame: Any) -> list[NDArray[Any]]:
    """The two planes of a planar frame, which share its memory."""
    kind = np.uint8 if frame.format.components[1].bits <= 8 else np.uint16
    return [plane_samples(frame.planes[index], kind, frame.planes[index].width) for index in (1, 2)]


def set_chroma(frame: av.VideoFrame, planes: Planes) -> None:
    """Replace the chroma of a planar frame; planes (2, h, w) have its type."""
    for target, plane in zip(chroma_planes(frame), planes, strict=True):
        target[:] = plane
