"""Frames on the way through a runtime that takes luma and chroma: no frame is converted to RGB and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.chroma import ChromaEnlarger, ChromaReader, set_chroma
from toolkit.media.videos.colour import LOCATIONS, Colour, tagged
from toolkit.media.videos.job import VideoJob
from toolkit.media.videos.pixel_formats import depth
from toolkit.media.videos.transparency import plane_samples
from toolkit.native.yuv420 import Yuv420
from toolkit.runtimes.protocol import Session

if TYPE_CHECKING:
    import av

_STRIPS = 8
"""Of a frame, each of which is computed again only if its input changed."""

_CHROMA_REACH = 8
"""Input rows above and below that the chroma of a row depends on beside the network's own: four rows of chroma samples
that are interpolated, and up to four rows of luma that are reduced to one of chroma."""


class PlanarFrames:
    """Reads, upscales and converts the frames of a `planar` job, each method in a thread of its own."""

    def __init__(self, job: VideoJob, upscaler: FrameUpscaler) -> None:
        self._job, self._upscaler = job, upscaler
        self._session: Session | None = None
        self._before: tuple[Yuv420, av.VideoFrame] | None = None
        self._chroma: ChromaReader | None = None
        self._enlarge: ChromaEnlarger | None = None

    def read(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A decoded frame, as it is."""
        return frame

    def upscale(self, given: av.VideoFrame) -> tuple[av.VideoFrame, av.VideoFrame]:
        """The input, and the frame that is encoded; its chroma is not set where the input's replaces it."""
        import av

        job, encoding = self._job, self._job.encoding
        if self._session is None:
            self._session = self._upscaler.session(job.video.shape)
        frame = yuv420_of(given, job.video.colour)
        made = av.VideoFrame(encoding.width, encoding.height, encoding.pix_fmt)
        target = yuv420_of(made, encoding.colour, chroma=job.chroma == "network")
        computed = 0
        for start, stop in self._changed(frame, target):
            self._session.run_yuv420(frame, target, (start, stop))
            computed += stop - start
        self._upscaler.reused.rows += job.video.shape.height
        self._upscaler.reused.reused += job.video.shape.height - computed
        if job.reuse:
            self._before = frame, made
        return given, made

    def convert(self, frames: tuple[av.VideoFrame, av.VideoFrame]) -> av.VideoFrame:
        """The frame for the encoder."""
        given, made = frames
        if self._job.chroma == "lanczos":
            if self._chroma is None or self._enlarge is None:
                self._chroma, self._enlarge = ChromaReader(given, self._job.video.colour), self._job.enlarger()
            set_chroma(made, self._enlarge(self._chroma(given)))
        tagged(made, self._job.encoding.colour)
        return made

    def _changed(self, frame: Yuv420, target: Yuv420) -> Iterator[tuple[int, int]]:
        """Ranges of input rows to compute; results of all others are copied from the frame before."""
        height, reach = self._job.video.shape.height, self._upscaler.reach
        if self._before is None or reach is None:
            yield 0, height
            return
        before, old = self._before[0], yuv420_of(self._before[1], self._job.encoding.colour)
        scale, unit = self._job.subject.scale, _unit(self._job)
        step = max(unit, -(-height // _STRIPS) // unit * unit)
        begun = None
        for start in range(0, height, step):
            stop = min(start + step, height)
            first = max(0, start - reach - _CHROMA_REACH) // 2 * 2
            if not _same(before, frame, first, min(height, stop + reach + _CHROMA_REACH)):
                begun = start if begun is None else begun
                continue
            _copy(old, target, start * scale, stop * scale)
            if begun is not None:
                yield begun, start
                begun = None
        if begun is not None:
            yield begun, height


def yuv420_of(frame: av.VideoFrame, colour: Colour, *, chroma: bool = True) -> Yuv420:
    """A frame as the engine takes it, in the same memory.

    Args:
        frame: of a format that `is_yuv420`.
        colour: of its samples.
        chroma: whether the chroma planes are given.
    """
    bits, width = depth(frame.format.name), frame.width
    kind: Any = np.uint8 if bits == 8 else np.uint16
    luma = plane_samples(frame.planes[0], kind, width)
    if len(frame.planes) == 2:
        pairs = plane_samples(frame.planes[1], kind, width)
        planes = [pairs[:, 0::2], pairs[:, 1::2]]
    else:
        planes = [plane_samples(plane, kind, width // 2) for plane in frame.planes[1:3]]
    cb, cr = planes if chroma else (None, None)
    return Yuv420(luma, cb, cr, bits, colour.matrix, colour.full, LOCATIONS.index(colour.location))


def _unit(job: VideoJob) -> int:
    """Rows in which the engine computes."""
    multiple = job.subject.contract.sizes.multiple
    return multiple if multiple % 2 == 0 else 2 * multiple


def _same(one: Yuv420, other: Yuv420, start: int, stop: int) -> bool:
    """Whether luma rows of two frames, and the chroma between, are equal."""
    return np.array_equal(one.luma[start:stop], other.luma[start:stop]) and all(
        np.array_equal(a[start // 2 : -(-stop // 2)], b[start // 2 : -(-stop // 2)])
        for a, b in ((one.cb, other.cb), (one.cr, other.cr))
        if a is not None and b is not None
    )


def _copy(source: Yuv420, target: Yuv420, start: int, stop: int) -> None:
    """Copy luma rows, and the chroma that the target has."""
    target.luma[start:stop] = source.luma[start:stop]
    for given, made in ((source.cb, target.cb), (source.cr, target.cr)):
        if given is not None and made is not None:
            made[start // 2 : stop // 2] = given[start // 2 : stop // 2]
