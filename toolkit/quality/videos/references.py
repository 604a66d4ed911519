"""Reference clips: video files, and photographs seen by a camera that pans; their frames are made one at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.errors import InputError
from toolkit.images import find_images, read_rgb
from toolkit.media.videos.colour import Colour, FromRgb, ToRgb, rgb_of
from toolkit.media.videos.decoding import Decoding, decoded
from toolkit.media.videos.pixel_formats import is_rgb, subsampling
from toolkit.media.videos.tally import Damage
from toolkit.media.videos.transparency import plane_samples
from toolkit.media.videos.video_file import VideoFile, read_video
from toolkit.quality.data import Pixels
from toolkit.workloads import Shape

Planes = NDArray[Any]
"""RGB (3, H, W), uint8 or uint16."""

Yuv = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Luma (H, W) and the two planes of chroma, as they are in a frame."""

PAN = (3, 5)
"""Rows and columns that the camera moves from one frame of a photograph to the next."""

PHOTO_FRAMES = 8
PHOTO_LOW = Shape(360, 640)
_COLOUR = Colour(6, full=False, location="left")
_PHOTO_FORMAT = "yuv420p"
_RATE = Fraction(25)
_MOST = 10_000
_CHROMA = {(1, 1), (2, 1), (2, 2)}
"""Luma samples per chroma sample, across and down, of 4:4:4, 4:2:2 and 4:2:0."""


@dataclass(frozen=True)
class Frame:
    """A frame of a reference: `yuv` is what results are compared with, and `rgb` gives uint8 (H, W, 3)."""

    yuv: Yuv
    rgb: Callable[[], Pixels]


@dataclass(frozen=True)
class Clip(ABC):
    """A reference clip.

    Attributes:
        name: for people.
        shape: of its frames, a multiple of twice the scale.
        count: of frames.
        rate: frames per second.
        pix_fmt: planar YCbCr, in which results are compared.
        colour: of these frames, and of low-resolution clips that are made of them.
    """

    name: str
    shape: Shape
    count: int
    rate: Fraction
    pix_fmt: str
    colour: Colour

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """All frames from the first on. Each call starts again: no more than a few are in memory at a time."""

    @cached_property
    def depth(self) -> int:
        """Bits per sample."""
        import av

        return int(max(item.bits for item in av.VideoFormat(self.pix_fmt, 64, 64).components))

    def to_yuv(self, white: int) -> Callable[[Planes], Yuv]:
        """A conversion of results, 0..white, to the reference's format: what `upscale` would give to an encoder."""
        convert = FromRgb(self.shape.width, self.shape.height, white, self.colour, self.pix_fmt)
        return lambda planes: yuv_of(convert(planes))

    def to_rgb(self, yuv: Yuv, white: int) -> Planes:
        """The picture, (3, H, W) in 0..white, of planes in the reference's format."""
        import av

        frame = av.VideoFrame(self.shape.width, self.shape.height, self.pix_fmt)
        for target, plane in zip(yuv_of(frame), yuv, strict=True):
            target[:] = plane
        return rgb_of(frame, self.colour, white)


@dataclass(frozen=True)
class VideoClip(Clip):
    """The first `count` frames of a file; what exceeds `shape` is cut off at the right and at the bottom."""

    video: VideoFile

    @classmethod
    def read(cls, path: Path, scale: int, most: int | None) -> VideoClip:
        """Read a file's properties.

        Args:
            path: of the file.
            scale: see `Clip.shape`.
            most: frames to use; None: all.

        Raises:
            InputError: it is no video that can be measured.
            Unavailable: PyAV is not installed.
        """
        video = progressive(path)
        given = video.pix_fmt.replace("yuvj", "yuv").replace("yuva", "yuv")
        if is_rgb(given) or not given.startswith("yuv") or "p" not in given[6:] or subsampling(given) not in _CHROMA:
            raise InputError(
                f"{path} is {video.pix_fmt}; references are planar YCbCr with 4:2:0, 4:2:2 or 4:4:4 chroma",
                "Convert it, for example to yuv420p.",
            )
        step = 2 * scale
        shape = Shape(*(side // step * step for side in video.shape.sides))
        if not all(shape.sides):
            raise InputError(f"{path} is too small for x{scale}: {video.shape}")
        count = len(video.times) if most is None else min(most, len(video.times))
        return cls(path.name, shape, count, video.rate, given, video.colour, video)

    def frames(self) -> Iterator[Frame]:
        to_rgb: ToRgb | None = None
        across, down = subsampling(self.pix_fmt)
        height, width = self.shape.sides
        for frame in file_frames(self.video, self.count):
            if to_rgb is None:
                to_rgb = ToRgb(frame, self.colour, deep=False)
            luma, *chroma = yuv_of(frame)
            blue, red = (plane[: height // down, : width // across] for plane in chroma)

            def rgb(convert: ToRgb = to_rgb, frame: Any = frame) -> Pixels:
                made: Pixels = convert(frame)[:, :height, :width].transpose(1, 2, 0)
                return made

            yield Frame((luma[:height, :width], blue, red), rgb)


@dataclass(frozen=True)
class PhotoClip(Clip):
    """A photograph, reduced until it just covers the path of the camera, which passes over its centre.

    `step` is the way from one frame to the next, in rows and columns. Frames are encoded and compared in 4:2:0 of
    BT.601 with limited range, whose luma is that of `evaluate` for images.
    """

    path: Path
    step: tuple[int, int]

    @classmethod
    def of(cls, path: Path, name: str, shape: Shape, count: int, random: np.random.Generator) -> PhotoClip:
        """A clip of `count` frames; `random` chooses the direction of the camera."""
        down, right = (int(length * sign) for length, sign in zip(PAN, random.choice((-1, 1), 2), strict=True))
        return cls(name, shape, count, _RATE, _PHOTO_FORMAT, _COLOUR, path, (down, right))

    def frames(self) -> Iterator[Frame]:
        """See `Clip`.

        Raises:
            InputError: the photograph cannot be read, or is too small.
        """
        scene = self._scene()
        convert = self.to_yuv(255)
        height, width = self.shape.sides
        places = [self._path(axis, scene.shape[axis]) for axis in (0, 1)]
        for top, left in zip(*places, strict=True):
            view = np.ascontiguousarray(scene[top : top + height, left : left + width])
            yield Frame(convert(view.transpose(2, 0, 1)), lambda view=view: view)  # type: ignore[misc]

    def _path(self, axis: int, room: int) -> list[int]:
        """First row or column of each frame; forwards or backwards, on a path that lies in the centre."""
        length = abs(self.step[axis]) * (self.count - 1)
        start = (room - self.shape.sides[axis] - length) // 2
        path = [start + abs(self.step[axis]) * number for number in range(self.count)]
        return path if self.step[axis] > 0 else path[::-1]

    def _scene(self) -> Pixels:
        pixels = read_rgb(self.path)
        # One step more than the path, so that a photograph of the shape of a frame is not cut exactly at its border.
        needed = [side + abs(step) * self.count for side, step in zip(self.shape.sides, self.step, strict=True)]
        factor = min(have / need for have, need in zip(pixels.shape, needed, strict=False))
        if factor < 1:
            size = Shape(*pixels.shape[:2])
            raise InputError(
                f"{self.path} is too small for a clip: {size}, and {Shape(*needed)} are needed",
                "Remove it, or choose a smaller --size.",
            )
        height, width = (round(side / factor) for side in pixels.shape[:2])
        return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def find_clips(paths: list[Path], scale: int, low: Shape | None, most: int | None, seed: int) -> list[Clip]:
    """The clips of some paths.

    Args:
        paths: video files and directories of photographs.
        scale: of the networks.
        low: low-resolution size of clips of photographs; None: 640x360.
        most: frames per clip; None: 8 of a photograph, all of a video.
        seed: of the directions in which cameras move.

    Raises:
        InputError: there is no such path, or it is neither.
    """
    clips: list[Clip] = []
    for path in paths:
        photos = find_images(path, _MOST) if path.is_dir() else []
        if not photos:
            clips.append(VideoClip.read(path, scale, most))
        shape = (low or PHOTO_LOW).upscaled(scale)
        if photos and any(side % (2 * scale) for side in shape.sides):
            raise InputError(f"the sides of low-resolution frames must be even, not {low}")
        for number, photo in enumerate(photos):
            name = photo.relative_to(path).as_posix()
            random = np.random.default_rng((seed, number))
            clips.append(PhotoClip.of(photo, name, shape, most or PHOTO_FRAMES, random))
    return clips


def progressive(path: Path) -> VideoFile:
    """A video file that is not interlaced."""
    video = read_video(path)
    if video.interlaced:
        raise InputError(f"{path} is interlaced", "Deinterlace it first: errors of fields cannot be compared.")
    return video


def file_frames(video: VideoFile, count: int) -> Iterator[Any]:
    """The first `count` decoded frames of a file, as stored.

    Raises:
        InputError: a frame cannot be decoded, or is interlaced.
    """
    frames = (timed.frame for _, part in decoded(video, video.segments, Decoding(), Damage()) for timed in part)
    try:
        yield from islice(frames, count)
    except InputError as error:
        raise InputError(error.args[0], "Give a progressive file that is not damaged.") from error


def yuv_of(frame: Any) -> Yuv:
    """The planes of a frame, which share its memory."""
    kind = np.uint8 if max(item.bits for item in frame.format.components) <= 8 else np.uint16
    components = frame.format.components[:3]
    luma, blue, red = (
        plane_samples(plane, kind, component.width)
        for plane, component in zip(frame.planes[:3], components, strict=True)
    )
    return luma, blue, red
