"""Low-resolution input of a measurement: reduced and encoded here, clean, or a file that belongs to the reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.errors import InputError
from toolkit.images.resizing import downscaled
from toolkit.media.split_view import enlarged
from toolkit.media.videos.chroma import ChromaEnlarger, ChromaReader, grid_of
from toolkit.media.videos.clip_encoder import CodecSettings, configure, encoded
from toolkit.media.videos.colour import UNSPECIFIED, ToRgb
from toolkit.media.videos.opening import created
from toolkit.media.videos.video_file import VideoFile
from toolkit.quality.videos.references import Clip, Planes, VideoClip, file_frames, progressive
from toolkit.workloads import Shape

Codec = Literal["libx264", "libx265", "libsvtav1", "libvpx-vp9", "mpeg2video", "mpeg4"]
CLEAN = "none"
"""In place of a codec: the reduced frames themselves, RGB."""

FILE = "file"
"""Label of low-resolution clips that were given."""

Chroma = tuple[NDArray[Any], NDArray[Any]]
"""Planes of Cb and Cr, as they are in a frame."""

_GROUP = 250
"""Distance of key frames, x264's own default."""


@dataclass(frozen=True)
class _Scale:
    """Qualities of a codec: its constant rate factor, or its quantiser where it has none."""

    word: str
    best: int
    worst: int
    usual: tuple[int, ...]
    options: Callable[[str], dict[str, str]]


def _x265(crf: str) -> dict[str, str]:
    return {"crf": crf, "preset": "medium", "x265-params": "log-level=none:pools=1:frame-threads=1"}


def _fixed(quantiser: str) -> dict[str, str]:
    return {"qmin": quantiser, "qmax": quantiser}


_SCALES: dict[Codec, _Scale] = {
    "libx264": _Scale("crf", 0, 51, (23, 28, 33), lambda crf: {"crf": crf, "preset": "medium"}),
    "libx265": _Scale("crf", 0, 51, (23, 28, 33), _x265),
    "libsvtav1": _Scale("crf", 1, 63, (35, 45), lambda crf: {"crf": crf, "preset": "8", "svtav1-params": "lp=1"}),
    "libvpx-vp9": _Scale("crf", 0, 63, (31, 41), lambda crf: {"crf": crf, "b": "0", "cpu-used": "4"}),
    "mpeg2video": _Scale("quantiser", 1, 31, (4, 8), _fixed),
    "mpeg4": _Scale("quantiser", 1, 31, (4, 8), _fixed),
}


@dataclass(frozen=True)
class Coding:
    """How a low-resolution clip is encoded.

    Attributes:
        codec: FFmpeg's name of the encoder.
        quality: constant rate factor; of mpeg2video and mpeg4 the quantiser.

    Raises:
        InputError: there is no such codec, or it has no such quality.
    """

    codec: Codec
    quality: int

    def __post_init__(self) -> None:
        if self.codec not in _SCALES:
            raise InputError(
                f"{self.codec!r} is not a codec of this measurement",
                f"Choose from {', '.join((CLEAN, *get_args(Codec)))}.",
            )
        scale = _SCALES[self.codec]
        if not scale.best <= self.quality <= scale.worst:
            raise InputError(f"{self.codec} has no {scale.word} {self.quality}: {scale.best} to {scale.worst}")

    @property
    def label(self) -> str:
        """For people: `libx264 crf 23`."""
        return f"{self.codec} {_SCALES[self.codec].word} {self.quality}"

    def settings(self, clip: Clip) -> CodecSettings:
        """Settings of the encoder, which keeps the matrix, range and chroma location of the clip."""
        options = _SCALES[self.codec].options(str(self.quality))
        colour = replace(clip.colour, primaries=UNSPECIFIED, transfer=UNSPECIFIED)
        return CodecSettings(self.codec, tuple(options.items()), colour, _GROUP)


def codings(codecs: list[str], qualities: tuple[int, ...] | None) -> tuple[Coding | None, ...]:
    """All combinations; None: clean.

    Args:
        codecs: names, `none` for clean.
        qualities: of every codec; None: those that are usual for it.

    Raises:
        InputError: there is no such codec, or it has no such quality; or there are qualities without a codec.
    """
    if qualities and set(codecs) == {CLEAN}:
        raise InputError(f"--crf does not apply to --codec {CLEAN}")
    made: list[Coding | None] = []
    for codec in codecs:
        known = next((name for name in _SCALES if name == codec), None)
        if codec == CLEAN:
            made.append(None)
        elif known is None:
            raise InputError(
                f"{codec!r} is not a codec of this measurement", f"Choose from {', '.join((CLEAN, *_SCALES))}."
            )
        else:
            made += [Coding(known, quality) for quality in qualities or _SCALES[known].usual]
    return tuple(made)


@dataclass(frozen=True)
class LowFrame:
    """A low-resolution frame in RGB, 0..white, as `upscale` reads it.

    `chroma` gives its chroma enlarged by Lanczos interpolation, two planes in the format of the reference.
    """

    planes: Planes
    white: int
    chroma: Callable[[], Chroma]


@dataclass(frozen=True)
class Low(ABC):
    """The low-resolution frames of a reference clip.

    Attributes:
        clip: the reference.
        label: for people.
        coding: how it was encoded here; None: otherwise.
        scale: of the reference, compared with these.
    """

    clip: Clip
    label: str
    coding: Coding | None
    scale: int

    @property
    @abstractmethod
    def rate(self) -> float | None:
        """kbit/s of its file; None: there is none."""

    @abstractmethod
    def frames(self, *, deep: bool) -> Iterator[LowFrame]:
        """All frames. Each call starts again.

        Args:
            deep: whether frames of more than 8 bits become 16 bits per sample.
        """


@dataclass(frozen=True)
class CleanLow(Low):
    """The reference, reduced by MATLAB's bicubic filter."""

    @property
    def rate(self) -> float | None:
        return None

    def frames(self, *, deep: bool) -> Iterator[LowFrame]:
        del deep  # the reduced frames have 8 bits
        for frame in self.clip.frames():
            planes = downscaled(frame.rgb(), self.scale).transpose(2, 0, 1)
            yield LowFrame(planes, 255, partial(_chroma_of_rgb, self.clip, self.scale, planes, 255))


@dataclass(frozen=True)
class FileLow(Low):
    """The frames of a file."""

    video: VideoFile

    @property
    def rate(self) -> float | None:
        frames = len(self.video.times)
        return self.video.path.stat().st_size * 8 / 1000 / frames * float(self.clip.rate)

    def frames(self, *, deep: bool) -> Iterator[LowFrame]:
        to_rgb: ToRgb | None = None
        chroma_of = self._chroma_function()
        for frame in file_frames(self.video, self.clip.count):
            if to_rgb is None:
                to_rgb = ToRgb(frame, self.video.colour, deep=deep)
            planes = to_rgb(frame)
            yield LowFrame(planes, to_rgb.white, partial(chroma_of, frame, planes, to_rgb.white))

    def _chroma_function(self) -> Callable[[Any, Planes, int], Chroma]:
        """A function of a decoded frame, and of the same frame in RGB: see `LowFrame`."""
        video, clip = self.video, self.clip
        source = grid_of(video.shape, video.pix_fmt, video.colour)
        target = grid_of(video.shape.upscaled(self.scale), clip.pix_fmt, clip.colour)
        if source is None or target is None or video.colour.matrix != clip.colour.matrix:
            return lambda _frame, planes, white: _chroma_of_rgb(clip, self.scale, planes, white)
        enlarge = ChromaEnlarger(source, target)
        height, width = (side // cell for side, cell in zip(clip.shape.sides, target.cell, strict=True))

        def chroma(frame: Any, _planes: Planes, _white: int) -> Chroma:
            blue, red = enlarge(ChromaReader(frame, video.colour)(frame))[:, :height, :width]
            return blue, red

        return chroma


def _chroma_of_rgb(clip: Clip, scale: int, planes: Planes, white: int) -> Chroma:
    """Chroma of frames in RGB, or with another matrix than the reference: of all three enlarged."""
    result = enlarged(planes, Shape(*planes.shape[1:]).upscaled(scale), white, Image.Resampling.LANCZOS)
    height, width = clip.shape.sides
    _, blue, red = clip.to_yuv(white)(np.ascontiguousarray(result[:, :height, :width]))
    return blue, red


def partner(clip: VideoClip, path: Path, scale: int, *, cut: bool) -> FileLow:
    """The file of a low-resolution version of a reference.

    Args:
        clip: the reference.
        path: of the file.
        scale: between both.
        cut: whether only the first frames of both are used; otherwise their numbers must agree.

    Raises:
        InputError: the files do not belong together.
    """
    video, reference = progressive(path), clip.video
    if video.shape.upscaled(scale) != reference.shape or video.orientation != reference.orientation:
        raise InputError(
            f"{path} is no x{scale} input of {reference.path}: {video.shape} and {reference.shape}",
            "The reference must have exactly that many times the width and height, and the same orientation.",
        )
    counts = len(video.times), len(reference.times)
    if counts[0] != counts[1] and (not cut or min(counts) < clip.count):
        raise InputError(
            f"{path} has {counts[0]} frames, {reference.path} has {counts[1]}",
            f"Frames are compared in order. If only their ends differ, give --frames {min(counts)}.",
        )
    return FileLow(clip, FILE, None, scale, video)


def encode_low(clip: Clip, coding: Coding, scale: int, path: Path, frame_done: Callable[[], None]) -> FileLow:
    """Reduce a clip and encode it into a file.

    Args:
        clip: the reference.
        coding: codec and quality.
        scale: of the reduction.
        path: of a new Matroska file.
        frame_done: called before each frame.

    Raises:
        InputError: the encoder lost frames.
    """
    settings = coding.settings(clip)
    low = Shape(*(side // scale for side in clip.shape.sides))

    def frames() -> Iterator[Planes]:
        for frame in CleanLow(clip, "", None, scale).frames(deep=False):
            frame_done()
            yield np.ascontiguousarray(frame.planes)

    with created(path, "matroska") as container:
        stream: Any = container.add_stream(coding.codec, clip.rate)
        configure(stream.codec_context, settings, low.width, low.height, clip.rate)
        for packet in encoded(stream, frames(), settings.colour, clip.rate):
            container.mux(packet)
    video = progressive(path)
    if len(video.times) != clip.count:
        raise InputError(f"{coding.label} made {len(video.times)} of {clip.count} frames")
    # Matroska and some codecs do not hold everything: the colour is known, and need not be guessed.
    return FileLow(clip, coding.label, coding, scale, replace(video, colour=settings.colour))
