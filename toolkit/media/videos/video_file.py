"""Properties of a video file: stream, times, key frames and colour, from its packets and its first frame."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputError
from toolkit.media.videos.clock import is_flush
from toolkit.media.videos.colour import Colour, chroma_location, colour_of, depth_of
from toolkit.media.videos.description import codec_name, description
from toolkit.media.videos.frame_metadata import unkept_metadata
from toolkit.media.videos.mastering import Mastering, mastering_of
from toolkit.media.videos.opening import opened
from toolkit.media.videos.orientation import Orientation, orientation_of
from toolkit.media.videos.times import INDEXED, FileTimes, read_times, readable
from toolkit.media.videos.transparency import decoder_of
from toolkit.workloads import LARGEST_SIDE, Shape

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

SEGMENT_SECONDS = 10


@dataclass(frozen=True)
class Segment:
    """Frames from `start` (None: the first) to before `stop` (None: the end), in the stream's time base."""

    number: int
    start: int | None
    stop: int | None

    def holds(self, pts: int) -> bool:
        return (self.start is None or pts >= self.start) and (self.stop is None or pts < self.stop)


@dataclass(frozen=True)
class VideoFile:
    """A video file and its first real video stream.

    Attributes:
        path: of the file.
        stream: index of the stream in the file.
        shape: of frames as stored, before rotation.
        pix_fmt: FFmpeg's name.
        depth: bits per sample.
        colour: interpretation of the samples.
        time_base: seconds per tick.
        rate: average frames per second, for encoders that need it.
        aspect: width by height of a pixel.
        orientation: rotation and mirroring by players.
        mastering: metadata of high dynamic range.
        unkept: metadata of frames that cannot be kept, for notes.
        timing: presentation times.
        segments: parts of the file that begin at key frames.
        interlaced: whether the first frame is interlaced.
        seekable: whether FFmpeg finds key frames of this container reliably.
    """

    path: Path
    stream: int
    shape: Shape
    pix_fmt: str
    depth: int
    colour: Colour
    time_base: Fraction
    rate: Fraction
    aspect: Fraction
    orientation: Orientation
    mastering: Mastering
    unkept: tuple[str, ...]
    timing: FileTimes
    segments: tuple[Segment, ...]
    interlaced: bool
    seekable: bool = True

    @property
    def times(self) -> tuple[int, ...]:
        """Presentation times in ticks, ascending."""
        return self.timing.times

    @property
    def upright(self) -> Shape:
        """Shape of frames as displayed."""
        return Shape(self.shape.width, self.shape.height) if self.orientation.transposed else self.shape

    @property
    def upright_aspect(self) -> Fraction:
        return 1 / self.aspect if self.orientation.transposed else self.aspect

    def frames_in(self, segment: Segment) -> int:
        """Number of frames of a segment, according to the container."""
        first = 0 if segment.start is None else bisect.bisect_left(self.times, segment.start)
        last = len(self.times) if segment.stop is None else bisect.bisect_left(self.times, segment.stop)
        return last - first


def read_video(path: Path, duration: float | None = None) -> VideoFile:
    """Read all packets of a file, and decode one frame.

    Args:
        path: of the file.
        duration: seconds from its first frame that are needed; None: all.

    Raises:
        InputError: it has no video, no frames, no times, unsupported dimensions, or colours that cannot be converted.
        Unavailable: PyAV is not installed.
    """
    with opened(path) as container:
        stream = _video_stream(path, container)
        time_base = stream.time_base
        if time_base is None:
            raise InputError(f"{path}: its video has no time base")
        first = _first_frame(path, container, stream)
        location = chroma_location(description(container, stream.index))
        timing = read_times(path, stream.index)
        if duration is not None:
            ticks = math.ceil(Fraction(duration).limit_denominator(1_000_000) / time_base)
            timing = timing.before(timing.times[0] + max(1, ticks))
        return video_of(
            path,
            stream,
            first,
            location,
            timing,
            _segments(timing, time_base, bounded=duration is not None),
            seekable=not timing.counted and not INDEXED.isdisjoint(container.format.name.split(",")),
        )


def video_of(
    path: Path,
    stream: Any,
    first: av.VideoFrame,
    location: str | None,
    timing: FileTimes,
    segments: tuple[Segment, ...],
    *,
    seekable: bool,
) -> VideoFile:
    """The properties of a video, from a stream that has a time base and from its first frame.

    Raises:
        InputError: its dimensions are not supported, or its colours cannot be converted.
    """
    shape = Shape(first.height, first.width)
    if not all(1 <= side <= LARGEST_SIDE for side in shape.sides):
        raise InputError(f"{path}: {shape} is not a valid video size")
    try:
        colour = colour_of(first, location)
    except InputError as error:
        raise InputError(f"{path}: {error.args[0]}", error.remedy) from error
    return VideoFile(
        path=path,
        stream=stream.index,
        shape=shape,
        pix_fmt=first.format.name,
        depth=depth_of(first.format),
        colour=colour,
        time_base=Fraction(stream.time_base),
        rate=Fraction(stream.average_rate or stream.guessed_rate or 25),
        aspect=Fraction(stream.sample_aspect_ratio or 1) or Fraction(1),
        orientation=orientation_of(first),
        mastering=mastering_of(first),
        unkept=unkept_metadata(first),
        timing=timing,
        segments=segments,
        interlaced=first.interlaced_frame,
        seekable=seekable,
    )


def _video_stream(path: Path, container: InputContainer) -> Any:
    """The first video stream that is not a cover picture."""
    import av

    for stream in container.streams.video:
        if stream.disposition & av.stream.Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise InputError(
                f"{path}: its video has the codec {codec_name(container, stream.index)}, which FFmpeg cannot decode",
                "Convert it to a common codec with a program that knows it.",
            )
        return stream
    raise InputError(f"{path} has no video stream", "Give a video.")


def _first_frame(path: Path, container: InputContainer, stream: Any) -> av.VideoFrame:
    import av

    # The first frames of a damaged file may not be decodable; that is handled later.
    decoder, reasons = decoder_of(stream), list[str]()
    for packet in readable(container.demux(stream), reasons):
        if not packet.size and not is_flush(packet):
            continue
        try:
            frames: list[av.VideoFrame] = decoder.decode(packet)
            if frames:
                return frames[0]
        except av.FFmpegError as error:
            reasons.append(error.strerror or str(error))
    reason = f" ({reasons[0]})" if reasons else ""
    raise InputError(
        f"{path} has no frames that can be decoded{reason}", "Its video is empty, or damaged from the start."
    )


def _segments(timing: FileTimes, time_base: Fraction, *, bounded: bool) -> tuple[Segment, ...]:
    """Divide at key frames that are at least `SEGMENT_SECONDS` apart."""
    starts: list[int] = []
    before = timing.times[0]
    for pts in timing.keys:
        if (pts - before) * time_base >= SEGMENT_SECONDS:
            starts.append(pts)
            before = pts
    end = timing.times[-1] + 1 if bounded else None
    return tuple(
        Segment(number, start, stop)
        for number, (start, stop) in enumerate(zip([None, *starts], [*starts, end], strict=True))
    )
