"""Packets of an output file in the order of their times: encoded video and copied streams."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from toolkit.media.videos.clock import is_flush, rescale
from toolkit.media.videos.copied import Copies
from toolkit.media.videos.encoding import EncodedPacket, Encoding, Part, side_data
from toolkit.media.videos.times import FileTimes, readable

if TYPE_CHECKING:
    from av.container import InputContainer

Dated = tuple[Fraction, Any]
"""Decoding time in seconds, and a packet."""


def video_packets(parts: Iterable[Part], stream: Any, encoding: Encoding, timing: FileTimes) -> Iterator[Dated]:
    """Packets of consecutive segments for an output stream."""
    import av

    base = Fraction(*encoding.time_base)
    for packet in timed([packet for part in parts for packet in part.packets], timing):
        made = av.Packet(packet.data)
        made.stream, made.time_base = stream, base
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        made.is_keyframe = packet.key
        if packet.addition:
            made.set_sidedata(side_data(packet.addition))
        yield packet.dts * base, made


def timed(packets: list[EncodedPacket], timing: FileTimes) -> Iterator[EncodedPacket]:
    """The same packets with the decoding times and durations of one stream.

    Every segment has its own encoder, whose decoding times overlap with the segment before. The decoding times of the
    whole are the presentation times in ascending order, delayed by the number of frames that the encoder reorders: they
    increase, and are never after a packet's presentation time. A frame lasts until the next one is shown.
    """
    shown = sorted(packet.pts for packet in packets)
    delay = max((number - bisect.bisect_left(shown, packet.pts) for number, packet in enumerate(packets)), default=0)
    for number, packet in enumerate(packets):
        early = delay - number
        dts = shown[number - delay] if early <= 0 else shown[0] - early * timing.usual
        following = bisect.bisect_right(shown, packet.pts)
        end = shown[following] if following < len(shown) else timing.until(packet.pts)
        yield msgspec.structs.replace(packet, dts=dts, duration=end - packet.pts)


@dataclass
class _Copy:
    """State of a copied stream.

    Attributes:
        begun: whether there was a packet that is presented.
        cut: whether an edit list removes packets before it.
        following: expected time of the next packet in seconds, on the corrected clock.
    """

    begun: bool = False
    cut: bool = False
    following: Fraction = Fraction(0)


def copied_packets(
    source: InputContainer,
    copies: Copies,
    timing: FileTimes,
    end: Fraction | None,
    *,
    edits: bool,
    strict: bool,
) -> Iterator[Dated]:
    """Packets of streams that are copied to the output.

    Args:
        source: the input, just opened.
        copies: what is done with each stream.
        timing: of the input, with its clock.
        end: seconds after which nothing is copied; None: the end of the file.
        edits: whether the output has edit lists, which hide packets that a decoder needs before the first audible one.
        strict: whether decoding times of the output must strictly increase.
    """
    if not copies.indices:
        return
    state = {index: _Copy() for index in copies.indices}
    last: dict[int, int] = {}
    packets = timing.clock.packets(source, [source.streams[index] for index in copies.indices])
    packet: Any
    for packet in readable(packets, []):  # the audio ends where the file is truncated
        if is_flush(packet):
            continue
        copy = state[packet.stream_index]
        if not _heard(packet, copy, edits=edits):
            continue
        _date(packet, copy, edits=edits)
        seconds = Fraction(packet.dts * packet.time_base)
        copy.following = seconds + Fraction((packet.duration or 0) * packet.time_base)
        for made in copies.packets(packet) if end is None or seconds < end else ():
            _ascend(made, last, strict=strict)
            yield seconds, made


def _heard(packet: Any, copy: _Copy, *, edits: bool) -> bool:
    """Whether a packet is copied. Packets that an edit list removes are not, unless the output can hide them again."""
    if packet.is_discard:
        copy.cut = True
        return edits and not copy.begun
    copy.begun = True
    return True


def _date(packet: Any, copy: _Copy, *, edits: bool) -> None:
    """Set missing times of a packet, and let one that an edit list splits begin at its audible part."""
    if packet.dts is None:
        packet.dts = packet.pts if packet.pts is not None else round(copy.following / packet.time_base)
    if packet.pts is None:
        packet.pts = packet.dts
    if copy.cut and not edits and packet.pts < 0:
        # A muxer without negative times would delay the video instead.
        packet.pts = packet.dts = 0


def _ascend(packet: Any, last: dict[int, int], *, strict: bool) -> None:
    """Increase a decoding time that is not after the previous one of its stream in the output, as FFmpeg does."""
    index, base = packet.stream.index, packet.stream.time_base
    ticks = round(packet.dts * packet.time_base / base)
    if index in last and ticks < last[index] + strict:
        rescale(packet, base)
        packet.dts = ticks = last[index] + strict
        packet.pts = max(packet.pts, packet.dts)
    last[index] = ticks


def merged(first: Iterator[Dated], second: Iterator[Dated]) -> Iterator[Any]:
    """Packets of both, ordered by time."""
    for _, packet in heapq.merge(first, second, key=lambda dated: dated[0]):
        yield packet
