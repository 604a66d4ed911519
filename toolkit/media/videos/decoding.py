"""Decoding: frames of a file in order, with their times; corrupt frames are handled as the options specify."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from toolkit.errors import InputError
from toolkit.media.videos.clock import is_flush
from toolkit.media.videos.opening import opened
from toolkit.media.videos.tally import Damage
from toolkit.media.videos.times import FrameTimes, decodable
from toolkit.media.videos.transparency import decoder_of
from toolkit.media.videos.video_file import Segment, VideoFile

if TYPE_CHECKING:
    import av

OnError = Literal["stop", "skip", "repeat"]


@dataclass(frozen=True)
class Timed:
    """A decoded frame and its pts."""

    pts: int
    frame: av.VideoFrame


@dataclass(frozen=True)
class Decoding:
    """How frames are read.

    Attributes:
        on_error: `stop`: a corrupt frame is an error; `skip`: it is left out; `repeat`: the frame before is repeated.
        deinterlace: whether interlaced frames become progressive.
        threads: of the decoder; 0: chosen by FFmpeg.
    """

    on_error: OnError = "stop"
    deinterlace: bool = False
    threads: int = 0


def decoded(
    video: VideoFile, segments: tuple[Segment, ...], options: Decoding, damage: Damage
) -> Iterator[tuple[Segment, Iterator[Timed]]]:
    """Frames of consecutive segments, each to be consumed before the next one.

    Raises (while iterating):
        InputError: a frame is corrupt or interlaced and the options do not allow it, or frames change size.
    """
    frames = _in_order(video, _guarded(video, segments[0].start, options, damage), damage)
    pending: list[Timed] = []

    def of(segment: Segment) -> Iterator[Timed]:
        while True:
            timed = pending.pop() if pending else next(frames, None)
            if timed is None:
                return
            if segment.stop is not None and timed.pts >= segment.stop:
                pending.append(timed)
                return
            if segment.holds(timed.pts):
                yield timed

    for segment in segments:
        made = of(segment)
        yield segment, deinterlaced(made) if options.deinterlace else made


def _in_order(video: VideoFile, frames: Iterator[Timed], damage: Damage) -> Iterator[Timed]:
    """A frame whose time is not after that of the frame before gets one between that and the next known time."""
    last = None
    for timed in frames:
        if last is not None and timed.pts <= last:
            between = (last + video.timing.until(last)) // 2
            if between <= last:
                damage.add(misplaced=1)
                continue
            timed = Timed(between, timed.frame)
        last = timed.pts
        yield timed


def _guarded(video: VideoFile, start: int | None, options: Decoding, damage: Damage) -> Iterator[Timed]:
    """Frames from a key frame on, with corrupt ones replaced or left out.

    Decoders process several frames at once, and an error does not say which frame it concerns. Missing frames are found
    by comparing with the times in the container.
    """
    good: av.VideoFrame | None = None
    at = 0 if start is None else bisect.bisect_left(video.times, start)
    broken, begun = False, start is None
    for pts, frame in _read(video, start, options.threads):
        if frame is None:
            broken = True
            continue
        if not begun and start is not None and pts < start:
            broken = False  # frames before the key frame, after a seek, are incomplete
            continue
        begun = True
        damage.arrived.append(pts)
        after = bisect.bisect_left(video.times, pts)
        for missing in video.times[at:after] if broken else ():
            yield from _absent(video, missing, good, options, damage)
        at, broken = bisect.bisect_right(video.times, pts), False
        if frame.is_corrupt:
            instead = list(_replaced(video, pts, good, options, damage))
            damage.add(left_out=0 if instead else 1)
            yield from instead
        else:
            _check(video, frame, pts, options)
            good = frame
            yield Timed(pts, frame)
    for missing in video.times[at:] if broken else ():
        yield from _absent(video, missing, good, options, damage)


def _absent(
    video: VideoFile, pts: int, good: av.VideoFrame | None, options: Decoding, damage: Damage
) -> Iterator[Timed]:
    """The replacement of a frame that the decoder did not return."""
    damage.add(absent=1)
    for timed in _replaced(video, pts, good, options, damage):
        damage.add(added=1)
        yield timed


def _replaced(
    video: VideoFile, pts: int, good: av.VideoFrame | None, options: Decoding, damage: Damage
) -> Iterator[Timed]:
    """The replacement of a corrupt frame."""
    where = f"frame at {float((pts - video.times[0]) * video.time_base):.2f} s"
    damage.corrupt(where)
    if options.on_error == "stop":
        raise InputError(
            f"{video.path}: the {where} is corrupt",
            "--on-error skip drops the frame, --on-error repeat repeats the previous one.",
        )
    if options.on_error == "repeat" and good is not None:
        yield Timed(pts, good)


def _read(video: VideoFile, start: int | None, threads: int) -> Iterator[tuple[int, av.VideoFrame | None]]:
    """All frames from `start` on, and possibly some before it; None stands for an error of the decoder."""
    if start is None or not video.seekable:
        yield from _decode(video, None, threads)
        return
    sought = _decode(video, start, threads)
    first = next((item for item in sought if item[1] is not None), None)
    if first is None or first[0] > start:
        # The seek went too far: decode from the beginning.
        yield from _decode(video, None, threads)
    else:
        yield first
        yield from sought


def _decode(video: VideoFile, start: int | None, threads: int) -> Iterator[tuple[int, av.VideoFrame | None]]:
    import av

    with opened(video.path) as container:
        stream: Any = container.streams[video.stream]
        decoder = decoder_of(stream)
        decoder.thread_type = "AUTO"
        decoder.thread_count = threads
        if start is not None:
            container.seek(start, stream=stream, backward=True)
        times = FrameTimes(video.timing)
        for packet in decodable(container, stream, video.timing.clock):
            times.stamp(packet)
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError:  # decoders (libvpx, dav1d, FFmpeg's own) raise different errors for damage
                yield times.last, None
                continue
            for frame in frames:
                yield times.of(frame), frame
            if is_flush(packet):
                decoder.flush_buffers()


def _check(video: VideoFile, frame: av.VideoFrame, pts: int, options: Decoding) -> None:
    where = f"{video.path}: at {float((pts - video.times[0]) * video.time_base):.2f} s"
    if (frame.height, frame.width) != video.shape.sides or frame.format.name != video.pix_fmt:
        raise InputError(
            f"{where} frames change from {video.shape} {video.pix_fmt} to "
            f"{frame.width}x{frame.height} {frame.format.name}",
            "Split the file there.",
        )
    if frame.interlaced_frame and not options.deinterlace:
        raise InputError(
            f"{where} the frame is interlaced: its lines are from two points in time, and would be upscaled with comb "
            "artifacts",
            "Give --deinterlace.",
        )


def deinterlaced(frames: Iterator[Timed]) -> Iterator[Timed]:
    """Interlaced frames made progressive by FFmpeg's bwdif, at their own times; others unchanged."""
    import av
    import av.filter

    graph: Any = None
    clock = Fraction(1)
    for timed in frames:
        if graph is None:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=timed.frame.width,
                height=timed.frame.height,
                format=timed.frame.format,
                time_base=timed.frame.time_base,
            )
            bwdif = graph.add("bwdif", "mode=send_frame:deint=interlaced")
            graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
            clock = Fraction(timed.frame.time_base or 1)
        timed.frame.pts = timed.pts
        graph.vpush(timed.frame)
        yield from _pulled(graph, clock)
    if graph is not None:
        graph.vpush(None)
        yield from _pulled(graph, clock)


def _pulled(graph: Any, clock: Fraction) -> Iterator[Timed]:
    """Finished frames of a filter, whose time base may be finer than the file's."""
    import av

    while True:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield Timed(round(frame.pts * frame.time_base / clock), frame)
