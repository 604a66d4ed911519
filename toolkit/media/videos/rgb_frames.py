"""Frames on the way through a network that takes RGB: from decoded frames, and to frames for the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolkit.media.channels import upscale_with_alpha
from toolkit.media.split_view import split_view
from toolkit.media.target import resized
from toolkit.media.upscaler import FrameUpscaler, Planes
from toolkit.media.videos.chroma import ChromaEnlarger, ChromaReader, set_chroma
from toolkit.media.videos.colour import FromRgb, ToRgb, rgb_of
from toolkit.media.videos.job import VideoJob

if TYPE_CHECKING:
    import av


@dataclass(frozen=True)
class RgbFrame:
    """An upright frame (3, H, W) in 0..white, or (4, H, W) where the output is transparent.

    `chroma`: the chroma planes of the input, which replace those of the result.
    """

    planes: Planes
    white: int
    chroma: Planes | None = None


class RgbFrames:
    """Reads, upscales and converts the frames of a job, each method in a thread of its own."""

    def __init__(self, job: VideoJob, upscaler: FrameUpscaler) -> None:
        self._job, self._upscaler = job, upscaler
        self._to_rgb: ToRgb | None = None
        self._from_rgb: FromRgb | None = None
        self._chroma: ChromaReader | None = None
        self._enlarge: ChromaEnlarger | None = None

    def read(self, frame: av.VideoFrame) -> RgbFrame:
        """A decoded frame as the network takes it."""
        job = self._job
        if self._to_rgb is None:
            self._to_rgb = ToRgb(frame, job.video.colour, deep=job.subject.contract.deep, alpha=job.alpha)
        planes, turn = self._to_rgb(frame), job.video.orientation.upright
        chroma = turn(self._read_chroma(frame)) if job.chroma == "lanczos" else None
        return RgbFrame(turn(planes), self._to_rgb.white, chroma)

    def _read_chroma(self, frame: av.VideoFrame) -> Planes:
        if self._chroma is None:
            self._chroma = ChromaReader(frame, self._job.video.colour)
        return self._chroma(frame)

    def upscale(self, given: RgbFrame) -> RgbFrame:
        """The frame that is encoded."""
        made = self.upscaled(given)
        if not self._job.split:
            return made
        return RgbFrame(split_view(given.planes, self.shown(made), given.white), given.white)

    def upscaled(self, given: RgbFrame) -> RgbFrame:
        """The frame that is encoded, unless it is split."""
        if len(given.planes) == 4:
            samples = upscale_with_alpha(self._upscaler, given.planes.transpose(1, 2, 0), given.white)
            made = samples.transpose(2, 0, 1)
        else:
            made = self._upscaler(given.planes, given.white)
        if made.shape[1:] != self._job.result.sides:
            made = resized(made.transpose(1, 2, 0), self._job.result).transpose(2, 0, 1)
        return RgbFrame(made, given.white, given.chroma)

    def shown(self, made: RgbFrame) -> Planes:
        """The planes of an upscaled frame with the colours of the frame that is encoded."""
        if made.chroma is None:
            return made.planes
        height, width = made.planes.shape[1:]
        return rgb_of(self.convert(made), self._job.encoding.colour, made.white)[:, :height, :width]

    def convert(self, made: RgbFrame) -> av.VideoFrame:
        """A frame in the pixel format of the encoder."""
        encoding, planes = self._job.encoding, made.planes
        beyond = encoding.height - planes.shape[1], encoding.width - planes.shape[2]
        if any(beyond):
            planes = np.pad(planes, ((0, 0), (0, beyond[0]), (0, beyond[1])), mode="edge")
        if self._from_rgb is None:
            self._from_rgb = FromRgb(encoding.width, encoding.height, made.white, encoding.colour, encoding.pix_fmt)
        frame = self._from_rgb(planes)
        if made.chroma is not None:
            if self._enlarge is None:
                self._enlarge = self._job.enlarger()
            set_chroma(frame, self._enlarge(made.chroma))
        return frame
