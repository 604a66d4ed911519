"""One clock for all streams of a file: where its own restarts, wraps or jumps, later packets are shifted.

Recordings that were joined byte by byte keep the clock of each. Every stream jumps at the joint, at a packet of its
own and not all at the same place in the file, since the streams are interleaved. So packets are sorted into epochs, and
each epoch, a stretch of the file on one clock, gets a single shift for all streams: sound stays in step with its
picture, and no stream goes back in time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

BACK_SECONDS = 0.1
"""Decoding times of a stream never go back on one clock; less than this is taken for jitter, as FFmpeg does."""
_BACK_SECONDS_OF_PTS = 1.0
"""Presentation times do go back where frames are reordered."""
AHEAD_SECONDS = 10.0
"""FFmpeg's default of -dts_delta_threshold: no gap in a recording is taken to be longer."""
_HEADER_BYTES = 8
"""Enough of a packet to recognise a codec header."""


def rescale(packet: Packet[Any], base: Fraction) -> None:
    """Express a packet's times in another time base."""
    from av.rational import AVRational

    packet.rescale_ts(AVRational(base.numerator, base.denominator))


@dataclass(frozen=True)
class Clock:
    """What is added to the times of a file's packets.

    Attributes:
        shifts: by index of the stream: pairs of a packet's number among those of its stream, and the ticks of the
            stream's time base that are added from this packet on. Streams that are absent stay as they are.
        start: seconds that are added to what belongs to no stream, such as chapters.
    """

    shifts: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    start: Fraction = Fraction(0)

    def joints(self, index: int) -> frozenset[int]:
        """Numbers of a stream's packets with which another recording begins."""
        return frozenset(first for first, _ in dict(self.shifts).get(index, ())[1:])

    def packets(self, container: InputContainer, streams: Iterable[Any]) -> Iterator[Packet[Any]]:
        """Packets of a file that was just opened, in its order, with corrected times.

        Those that hold nothing (FFmpeg's packet that flushes decoders, and repeated frames of Theora and AVI, whose
        packets are empty) are among them, with a size of 0.
        """
        shifts = dict(self.shifts)
        counts: dict[int, int] = {}
        for packet in demuxed(container, streams):
            if is_flush(packet):
                yield packet
                continue
            number = counts.get(packet.stream_index, 0)
            counts[packet.stream_index] = number + 1
            ticks = 0
            for first, added in shifts.get(packet.stream_index, ()):
                if number < first:
                    break
                ticks = added
            if ticks:
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
            yield packet


def demuxed(container: InputContainer, streams: Iterable[Any]) -> Iterator[Packet[Any]]:
    """Packets of a file in its order, without the codec headers in the middle of a chained Ogg file.

    Ogg repeats them where another recording begins, and FFmpeg returns them like frames, which decoders then reject.
    """
    chained = container.format.name == "ogg"
    for packet in container.demux(list(streams)):
        if not (chained and packet.size and _is_ogg_header(bytes(memoryview(packet)[:_HEADER_BYTES]))):
            yield packet


def _is_ogg_header(start: bytes) -> bool:
    """Whether a packet is a header of VP8, Theora, Opus or Vorbis in Ogg; frames of none of them begin like that."""
    return start.startswith((b"OVP80", b"OpusHead", b"OpusTags")) or start[1:7] in (b"theora", b"vorbis")


def is_flush(packet: Packet[Any]) -> bool:
    """Whether a packet is the one that PyAV ends a stream with."""
    return not packet.size and packet.dts is None and packet.pts is None


def frame_ticks(stream: Any) -> int:
    """Usual duration of a video's frame in ticks of its stream, at least 1; of other streams 0."""
    if stream.type != "video":
        return 0
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    return max(1, round(1 / (rate * Fraction(stream.time_base))))


@dataclass
class _Range:
    """Of a stream in an epoch: its first packet's number, and its first and last time in ticks."""

    first: int
    start: int
    end: int


@dataclass
class _Position:
    """Where a stream is: its epoch, and the time in seconds of its last packet and of the one that should follow."""

    epoch: int | None = None
    count: int = 0
    last: float = -math.inf
    following: float = -math.inf


@dataclass
class _Epoch:
    """`latest` is the time in seconds of the packet of any stream that came last."""

    latest: float
    ranges: dict[int, _Range] = field(default_factory=dict)


class Epochs:
    """Packets of all streams, in the order of the file, sorted by the clock that they are on."""

    def __init__(self, streams: Iterable[Any], *, jumps_ahead: bool) -> None:
        """`jumps_ahead`: whether a jump of more than `AHEAD_SECONDS` is another clock and not a pause."""
        self._streams = {stream.index: stream for stream in streams}
        self._ticks = {index: (float(stream.time_base), frame_ticks(stream)) for index, stream in self._streams.items()}
        """Of each stream: seconds of a tick, and ticks of a frame. Files have a million packets."""
        self._jumps_ahead = jumps_ahead
        self._positions: dict[int, _Position] = {}
        self._epochs: list[_Epoch] = []

    def take(self, packet: Packet[Any]) -> None:
        """The next packet of the file; its times are the file's own."""
        if is_flush(packet):
            return
        index = packet.stream_index
        base, usual = self._ticks[index]
        ticks = packet.dts if packet.dts is not None else packet.pts
        position = self._positions.setdefault(index, _Position())
        position.count += 1
        if ticks is None:
            return
        now = ticks * base
        if position.epoch is None:
            position.epoch = self._nearest(now)
        elif self._jumped(position, position.epoch, now, timed=packet.dts is not None):
            position.epoch = self._after(position.epoch, now)
        duration = packet.duration or usual
        position.last, position.following = now, now + duration * base
        self._note(self._epochs[position.epoch], position.count - 1, packet, now, duration)

    def clock(self, chosen: int, *, from_zero: bool) -> Clock:
        """The corrections that make one clock of all epochs.

        Args:
            chosen: index of the video stream; shifts are whole ticks of it.
            from_zero: let the first time be zero.
        """
        sounding = [index for index, stream in self._streams.items() if stream.type in ("video", "audio")]
        tick = Fraction(self._streams[chosen].time_base)
        shifts: list[Fraction] = []
        for number, epoch in enumerate(self._epochs):
            if number:
                shifts.append(self._shift(number, shifts, sounding, tick))
                continue
            starts = [epoch.ranges[index].start * self._base(index) for index in sounding if index in epoch.ranges]
            shifts.append(-(min(starts) // tick) * tick if from_zero and starts else Fraction(0))
        if not any(shifts):
            return Clock()
        by_stream = []
        for index in self._streams:
            found = [(epoch.ranges[index].first, shift) for epoch, shift in zip(self._epochs, shifts, strict=True)
                     if index in epoch.ranges]  # fmt: skip
            by_stream.append((index, tuple((first, round(shift / self._base(index))) for first, shift in found)))
        return Clock(tuple(by_stream), shifts[0])

    def _base(self, index: int) -> Fraction:
        return Fraction(self._streams[index].time_base)

    def _jumped(self, position: _Position, epoch: int, now: float, *, timed: bool) -> bool:
        if now < position.last - (BACK_SECONDS if timed else _BACK_SECONDS_OF_PTS):
            return True
        # A stream that pauses is still on the clock of the others.
        return (
            self._jumps_ahead
            and now - position.following > AHEAD_SECONDS
            and abs(now - self._epochs[epoch].latest) > AHEAD_SECONDS
        )

    def _after(self, epoch: int, now: float) -> int:
        """The epoch that a stream goes on in: one that another stream has come to before, or a further one."""
        for number in range(epoch + 1, len(self._epochs)):
            if abs(now - self._epochs[number].latest) <= AHEAD_SECONDS:
                return number
        self._epochs.append(_Epoch(now))
        return len(self._epochs) - 1

    def _nearest(self, now: float) -> int:
        """The epoch of a stream's first packet."""
        if not self._epochs:
            self._epochs.append(_Epoch(now))
        return min(reversed(range(len(self._epochs))), key=lambda number: abs(now - self._epochs[number].latest))

    def _note(self, epoch: _Epoch, number: int, packet: Packet[Any], now: float, duration: int) -> None:
        epoch.latest = now
        shown = packet.pts if packet.pts is not None else packet.dts
        if shown is None:
            return
        known = epoch.ranges.get(packet.stream_index)
        if known is None:
            epoch.ranges[packet.stream_index] = _Range(number, shown, shown + duration)
        else:
            known.start, known.end = min(known.start, shown), max(known.end, shown + duration)

    def _shift(self, number: int, shifts: list[Fraction], sounding: list[int], tick: Fraction) -> Fraction:
        """Seconds to add in an epoch so that every stream goes on after its end in the epochs before.

        The largest that any stream needs: the others pause for as long as one recording's streams did not end, or
        the next one's did not begin, at the same time.
        """
        here = self._epochs[number].ranges
        needed, ends = [], []
        for index in sounding:
            before = [
                epoch.ranges[index].end * self._base(index) + shift
                for epoch, shift in zip(self._epochs, shifts, strict=False)
                if index in epoch.ranges
            ]
            ends += before
            if before and index in here:
                needed.append(max(before) - here[index].start * self._base(index))
        if not needed:
            starts = [item.start * self._base(index) for index, item in here.items()]
            needed = [max(ends, default=Fraction(0)) - min(starts)]
        return math.ceil(max(needed) / tick) * tick
