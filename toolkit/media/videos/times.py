"""Presentation times of frames, from packets, or rebuilt if the packets have no usable times."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputError
from toolkit.media.videos.clock import Clock, Epochs, demuxed, frame_ticks, is_flush
from toolkit.media.videos.opening import opened

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.packet import Packet

INDEXED = frozenset({"mov", "matroska", "nut", "avi"})
"""Containers with an index: FFmpeg finds their key frames reliably, and they have a single clock."""
_TIMED = frozenset({"video", "audio", "subtitle"})
_STATING = frozenset({"mov", "matroska", "flv"})
"""Containers that store their duration."""
_SHORT_SECONDS = 1.0
"""A file may end this much earlier than it states: streams rarely have the same length."""
_MOST_REORDERED = 16
"""Maximum number of frames that H.264 and H.265 reorder."""
_PROBED_FRAMES = 250
"""Frames to decode to find whether they are reordered: encoders use B-frames within seconds or not at all."""


@dataclass(frozen=True)
class FileTimes:
    """Times of a video's packets, on the corrected clock, in ticks of its stream.

    Attributes:
        times: presentation times, ascending; one for each packet that should contain a frame.
        keys: times of key frames, ascending.
        end: end of the last frame.
        usual: duration of a frame if nothing better is known.
        counted: whether the packets' times are not usable (missing, or decoding times only), so that frames get `times`
            by counting.
        clock: corrections of the file's own times.
        cut_off: says that the file ends early; empty if it does not.
        stop: time from which frames are not needed; None: all are needed.
    """

    times: tuple[int, ...]
    keys: tuple[int, ...]
    end: int
    usual: int
    counted: bool = False
    clock: Clock = field(default_factory=Clock)
    cut_off: str = ""
    stop: int | None = None

    def until(self, time: int) -> int:
        """End of the frame that begins at `time`."""
        following = bisect.bisect_right(self.times, time)
        return self.times[following] if following < len(self.times) else max(self.end, time + 1)

    def before(self, stop: int) -> FileTimes:
        """The times before `stop`; the last frame keeps its duration."""
        kept = self.times[: bisect.bisect_left(self.times, stop)]
        keys = self.keys[: bisect.bisect_left(self.keys, stop)]
        return replace(self, times=kept, keys=keys, end=self.until(kept[-1]), stop=stop)


class FrameTimes:
    """Assigns times to frames in the order in which the decoder returns them."""

    def __init__(self, timing: FileTimes) -> None:
        self._timing = timing
        self._packets = 0
        self._frames = 0
        self.last = timing.times[0] - timing.usual

    def stamp(self, packet: Packet[Any]) -> None:
        """Mark a packet before it is decoded.

        If frames are counted, the packet's number goes through the decoder in place of its time. So if the decoder
        loses frames of a damaged file, the count is right again from the next key frame on.
        """
        if self._timing.counted and packet.size and not packet.is_discard:
            packet.pts, packet.dts = self._packets, None
            self._packets += 1

    def of(self, frame: av.VideoFrame) -> int:
        """Presentation time of a frame in ticks."""
        self.last = self._counted(frame) if self._timing.counted else self._stamped(frame)
        return self.last

    def _stamped(self, frame: av.VideoFrame) -> int:
        pts = frame.pts if frame.pts is not None else frame.dts
        return self.last + (frame.duration or self._timing.usual) if pts is None else pts

    def _counted(self, frame: av.VideoFrame) -> int:
        number, times = self._frames, self._timing.times
        if frame.pts is not None:
            # A frame is never shown before frames decoded long before it; a key frame not before any earlier one.
            number = max(number, frame.pts if frame.key_frame else frame.pts - _MOST_REORDERED)
        self._frames = number + 1
        if number < len(times):
            return times[number]
        return self._timing.end + (number - len(times)) * self._timing.usual


@dataclass(frozen=True)
class _Found:
    """A packet of the video; times in ticks of its stream."""

    pts: int | None
    dts: int | None
    duration: int
    key: bool
    filled: bool

    @property
    def time(self) -> int | None:
        return self.pts if self.pts is not None else self.dts


@dataclass(frozen=True)
class _Stream:
    """A video stream's packets in the order of the file, on the corrected clock."""

    packets: list[_Found]
    end: int
    usual: int
    reorders: bool
    cut_off: str


def read_times(path: Path, index: int) -> FileTimes:
    """Read all packets of a file.

    Args:
        path: of the file.
        index: of its video stream.

    Raises:
        InputError: the video has no packets.
    """
    with opened(path) as container:
        formats = set(container.format.name.split(","))
        clock = Clock() if formats & INDEXED else _clock(container, index)
    stream = _read_stream(path, index, clock, formats)
    frames = [item for item in stream.packets if item.filled]
    if not frames:
        raise InputError(f"{path}: its video has no frames")
    counted = any(item.time is None for item in frames) or (
        stream.reorders and _unusable(path, index, frames, clock, coarse="avi" in formats)
    )
    end = stream.end
    if counted:
        # In AVI the n-th frame is shown at the n-th tick; the pts that FFmpeg reports is an estimate.
        times = _rebuilt([replace(item, pts=item.dts) if "avi" in formats else item for item in frames])
        keys = [time for time, item in zip(times, frames, strict=True) if item.key]
        end = times[-1] + frames[-1].duration
    else:
        times = sorted(item.time for item in frames if item.time is not None)
        keys = sorted(item.time for item in frames if item.key and item.time is not None)
    return FileTimes(tuple(times), tuple(keys), end, stream.usual, counted, clock, stream.cut_off)


def _read_stream(path: Path, index: int, clock: Clock, formats: set[str]) -> _Stream:
    with opened(path) as container:
        stream: Any = container.streams[index]
        usual, reorders = frame_ticks(stream), bool(stream.codec_context.has_b_frames)
        stating = bool(formats & _STATING)
        reasons: list[str] = []
        found: list[_Found] = []
        seconds, latest = {item.index: float(item.time_base) for item in timed_streams(container)}, 0.0
        for packet in readable(clock.packets(container, timed_streams(container) if stating else [stream]), reasons):
            item = _Found(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe, bool(packet.size))
            if item.time is not None:
                latest = max(latest, (item.time + item.duration) * seconds[packet.stream_index])
            # Packets that an edit list removes are marked as discarded.
            if packet.stream_index == index and not (is_flush(packet) or packet.is_discard):
                found.append(item if item.duration else replace(item, duration=usual))
        end = _end(stream, found, indexed="mov" in formats)
        cut_off = reasons[0] if reasons else _cut_off(container, latest) if stating else ""
        return _Stream(found, end, usual, reorders, cut_off)


def _end(stream: Any, found: list[_Found], *, indexed: bool) -> int:
    """End of the frame that is shown last.

    Empty packets repeat the frame before. Durations in an MP4 file are differences of decoding times, so the duration
    in its edit list is better.
    """
    last = max((item for item in found if item.time is not None), key=lambda item: item.time or 0, default=None)
    if last is None or last.time is None:
        return 0
    own = last.time + last.duration
    whole = (stream.start_time or 0) + (stream.duration or 0)
    near = last.time < whole < own + _SHORT_SECONDS / stream.time_base  # else the file is truncated
    return int(whole) if indexed and near else own


def _cut_off(container: InputContainer, latest: float) -> str:
    """A message if a file's packets end before its stated duration."""
    stated = (container.duration or 0) / 1_000_000
    missing = stated - latest > _SHORT_SECONDS
    return f"it should last {stated:.2f} s, and ends at {latest:.2f} s" if missing else ""


def timed_streams(container: InputContainer) -> list[Any]:
    """Streams with times: video, sound and subtitles."""
    return [stream for stream in container.streams if stream.type in _TIMED and stream.time_base]


def readable(packets: Iterator[Packet[Any]], reasons: list[str]) -> Iterator[Packet[Any]]:
    """Packets until the file cannot be read further; the reason is added to `reasons`."""
    import av

    try:
        yield from packets
    except av.PatchWelcomeError:
        reasons.append("FFmpeg cannot read what follows, such as another recording that was joined to an Ogg file")
    except av.FFmpegError as error:
        reasons.append(error.strerror or str(error))


def decodable(container: InputContainer, stream: Any, clock: Clock) -> Iterator[Packet[Any]]:
    """Packets of a file for a decoder, up to the end or as far as the file can be read.

    After an empty packet the decoder returns its remaining frames, and its buffers must be flushed. There is one at the
    end, and where another recording begins, since decoders lose frames when the parameters of the stream change.
    """
    import av

    flush: Packet[Any] = av.Packet()
    flush.stream = stream
    joints, number = clock.joints(stream.index), 0
    for packet in readable(clock.packets(container, [stream]), []):
        if is_flush(packet):
            continue
        if number in joints and packet.is_keyframe:
            yield flush
        number += 1
        if packet.size:
            yield packet
    yield flush


def _clock(container: InputContainer, index: int) -> Clock:
    from av.format import Flags

    restarts = bool(Flags(container.format.flags) & Flags.ts_discont)
    streams = timed_streams(container)
    epochs = Epochs(streams, jumps_ahead=restarts)
    for packet in readable(demuxed(container, streams), []):
        epochs.take(packet)
    return epochs.clock(index, from_zero=restarts)


def _unusable(path: Path, index: int, found: list[_Found], clock: Clock, *, coarse: bool) -> bool:
    """Whether packets have only decoding times although frames are reordered."""
    times = [item.time for item in found if item.time is not None]
    if coarse or len(times) < len(found):
        return True
    if any(later < earlier for earlier, later in itertools.pairwise(times)):
        return False  # they are presentation times
    last = None
    for number, frame in enumerate(_frames(path, index, clock)):
        if number == _PROBED_FRAMES:
            break
        if frame.pts is not None:
            if last is not None and frame.pts < last:
                return True
            last = frame.pts
    return False


def count_frames(path: Path, index: int, timing: FileTimes) -> int:
    """Number of frames that the decoder returns for a file, up to `timing.stop`, whatever their times are."""
    frames = _frames(path, index, timing.clock)
    if timing.stop is None:
        return sum(1 for _ in frames)
    if timing.counted:
        return sum(1 for _ in itertools.islice(frames, len(timing.times)))
    return sum(1 for frame in frames if frame.pts is None or frame.pts < timing.stop)


def _frames(path: Path, index: int, clock: Clock) -> Iterator[av.VideoFrame]:
    """Frames that the decoder returns for a file from its start; errors are skipped."""
    import av

    with opened(path) as container:
        stream: Any = container.streams[index]
        stream.thread_type = "AUTO"
        for packet in decodable(container, stream, clock):
            try:
                yield from packet.decode()
            except av.FFmpegError:
                continue
            if is_flush(packet):
                stream.codec_context.flush_buffers()


def _rebuilt(found: list[_Found]) -> list[int]:
    """Times of frames in presentation order, strictly ascending.

    If all packets have times, the n-th frame has the n-th smallest. Otherwise frames follow each other by their
    durations, and only a key frame whose own time differs a lot starts a new count.
    """
    known = [item.time for item in found if item.time is not None]
    if len(known) == len(found):
        return _ascending(sorted(known))
    times: list[int] = []
    first = next((number for number, item in enumerate(found) if item.key and item.time is not None), None)
    now = 0 if first is None else (found[first].time or 0) - sum(item.duration for item in found[:first])
    for item in found:
        if item.key and item.time is not None and abs(item.time - now) > _TOLERATED * item.duration:
            now = max(item.time, now)
        times.append(now)
        now += item.duration
    return _ascending(times)


_TOLERATED = 4
"""Frames by which the time of a key frame may differ from the count, since frames are reordered."""


def _ascending(times: list[int]) -> list[int]:
    """Times with equal ones moved one tick apart."""
    made: list[int] = []
    for time in times:
        made.append(time if not made else max(time, made[-1] + 1))
    return made
