"""One clock for all streams of a file: where its own restarts, wraps or jumps, later packets are shifted.

Recordings that were concatenated byte by byte keep their own clocks. At the joint every stream jumps, but at different
places in the file, since the streams are interleaved. So packets are assigned to epochs, each of which is a part of the
file on one clock. An epoch has one shift for all streams: sound stays in sync with the picture, and no stream goes back
in time.
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
"""Decoding times of a stream never decrease on one clock; smaller steps back are jitter, as for FFmpeg."""
_BACK_SECONDS_OF_PTS = 1.0
"""Presentation times also decrease where frames are reordered, so larger steps back are allowed."""
AHEAD_SECONDS = 10.0
"""FFmpeg's default of -dts_delta_threshold: a longer gap is taken for another clock."""
_HEADER_BYTES = 8
"""Enough of a packet to recognise a codec header."""


def rescale(packet: Packet[Any], base: Fraction) -> None:
    """Express a packet's times in another time base."""
    from av.rational import AVRational

    packet.rescale_ts(AVRational(base.numerator, base.denominator))


@dataclass(frozen=True)
class Clock:
    """Corrections of the times of a file's packets.

    Attributes:
        shifts: by index of the stream: pairs of a packet's number within its stream, and the ticks of the stream's time
            base that are added from this packet on. Other streams are not changed.
        start: seconds that are added to times outside of streams, such as those of chapters.
    """

    shifts: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    start: Fraction = Fraction(0)

    def joints(self, index: int) -> frozenset[int]:
        """Numbers of the packets of a stream at which another recording begins."""
        return frozenset(first for first, _ in dict(self.shifts).get(index, ())[1:])

    def packets(self, container: InputContainer, streams: Iterable[Any]) -> Iterator[Packet[Any]]:
        """Packets of a file that was just opened, in the order of the file, with corrected times.

        Empty packets are included: PyAV's packet that flushes decoders, and repeated frames of Theora and AVI.
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
    """Whether a packet is the empty one with which PyAV ends a stream."""
    return not packet.size and packet.dts is None and packet.pts is None


def frame_ticks(stream: Any) -> int:
    """Usual duration of a frame in ticks of its stream, at least 1; 0 for streams that are not video."""
    if stream.type != "video":
        return 0
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    return max(1, round(1 / (rate * Fraction(stream.time_base))))


@dataclass
class _Range:
    """Range of a stream in an epoch: number of its first packet, and first and last time in ticks."""

    first: int
    start: int
    end: int


@dataclass
class _Position:
    """State of a stream: its epoch, and the times in seconds of its last packet and of the expected next one."""

    epoch: int | None = None
    count: int = 0
    last: float = -math.inf
    following: float = -math.inf


@dataclass
class _Epoch:
    """A part of the file on one clock; `latest` is the time in seconds of its last packet of any stream."""

    latest: float
    ranges: dict[int, _Range] = field(default_factory=dict)


class Epochs:
    """Assigns the packets of all streams, in the order of the file, to epochs."""

    def __init__(self, streams: Iterable[Any], *, jumps_ahead: bool) -> None:
        """`jumps_ahead`: whether a jump of more than `AHEAD_SECONDS` means another clock rather than a pause."""
        self._streams = {stream.index: stream for stream in streams}
        self._ticks = {index: (float(stream.time_base), frame_ticks(stream)) for index, stream in self._streams.items()}
        """Seconds per tick and ticks per frame of each stream, computed once: files have millions of packets."""
        self._jumps_ahead = jumps_ahead
        self._positions: dict[int, _Position] = {}
        self._epochs: list[_Epoch] = []

    def take(self, packet: Packet[Any]) -> None:
        """Take the next packet of the file, with uncorrected times."""
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
        """Corrections that join all epochs to one clock.

        Args:
            chosen: index of the video stream; shifts are whole ticks of it.
            from_zero: whether the first time becomes zero.
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
        # A stream that was paused is still on the clock of the others.
        return (
            self._jumps_ahead
            and now - position.following > AHEAD_SECONDS
            and abs(now - self._epochs[epoch].latest) > AHEAD_SECONDS
        )

    def _after(self, epoch: int, now: float) -> int:
        """The epoch after a jump: one that another stream has reached before, or a new one."""
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
        """Seconds to add in an epoch so that every stream continues after its end in earlier epochs.

        This is the largest shift that any stream needs. Other streams have a pause if the streams of one recording did
        not end, or those of the next did not begin, at the same time.
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
