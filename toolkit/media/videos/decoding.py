"""Frames out of a file, in order, with their times; damage is handled as asked."""

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
        on_error: what a corrupt frame leads to: an error, its absence, or the frame before once more.
        deinterlace: weave fields of interlaced frames into full ones.
        threads: of the decoder; 0: its own choice.
    """

    on_error: OnError = "stop"
    deinterlace: bool = False
    threads: int = 0


def decoded(
    video: VideoFile, segments: tuple[Segment, ...], options: Decoding, damage: Damage
) -> Iterator[tuple[Segment, Iterator[Timed]]]:
    """Frames of consecutive segments, each to be consumed before the next one.

    Raises (while iterating):
        InputError: a frame is corrupt or interlaced, and nothing was said to be done about it; or frames change size.
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
        yield segment, _woven(made) if options.deinterlace else made


def _in_order(video: VideoFile, frames: Iterator[Timed], damage: Damage) -> Iterator[Timed]:
    """Frames whose time is not after the one before get one between that and the next time that is known."""
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
    """Frames from a key frame on, corrupt ones handled.

    Decoders work on several frames at once and tell of an error when others are on their way, so which frames are
    missing is seen from the times that the container promised.
    """
    good: av.VideoFrame | None = None
    at = 0 if start is None else bisect.bisect_left(video.times, start)
    broken, begun = False, start is None
    for pts, frame in _read(video, start, options.threads):
        if frame is None:
            broken = True
            continue
        if not begun and start is not None and pts < start:
            broken = False  # what follows a seek and lies before the key frame is never whole
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
    """What stands in the place of a frame that the decoder did not give."""
    damage.add(absent=1)
    for timed in _replaced(video, pts, good, options, damage):
        damage.add(added=1)
        yield timed


def _replaced(
    video: VideoFile, pts: int, good: av.VideoFrame | None, options: Decoding, damage: Damage
) -> Iterator[Timed]:
    """What stands in the place of a corrupt frame."""
    where = f"frame at {float((pts - video.times[0]) * video.time_base):.2f} s"
    damage.corrupt(where)
    if options.on_error == "stop":
        raise InputError(
            f"{video.path}: the {where} is corrupt", "--on-error skip leaves it out, repeat shows the one before."
        )
    if options.on_error == "repeat" and good is not None:
        yield Timed(pts, good)


def _read(video: VideoFile, start: int | None, threads: int) -> Iterator[tuple[int, av.VideoFrame | None]]:
    """All frames from `start` on and perhaps some before; None stands for an error of the decoder."""
    if start is None or not video.seekable:
        yield from _decode(video, None, threads)
        return
    sought = _decode(video, start, threads)
    first = next((item for item in sought if item[1] is not None), None)
    if first is None or first[0] > start:
        # The seek went past where it should have gone: from the beginning, then.
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
            except av.FFmpegError:  # of damage each decoder has an error of its own: libvpx, dav1d and FFmpeg's
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
            "Cut the file there.",
        )
    if frame.interlaced_frame and not options.deinterlace:
        raise InputError(
            f"{where} the frame is interlaced: its lines are from two moments, and upscaled as they are they would "
            "be combs",
            "Give --deinterlace.",
        )


def _woven(frames: Iterator[Timed]) -> Iterator[Timed]:
    """Interlaced frames as full ones at their own times, by FFmpeg's bwdif; others as they are."""
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
    """Frames that a filter is done with; its clock may run faster than the file's."""
    import av

    while True:
        try:
            frame = graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return
        yield Timed(round(frame.pts * frame.time_base / clock), frame)
