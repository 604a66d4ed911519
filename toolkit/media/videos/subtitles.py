"""Conversion of text subtitles between SubRip, mov_text, WebVTT and ASS."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from av.container import OutputContainer

_TEXT_ENCODERS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
"""The subtitle format that players expect, by FFmpeg's name of the muxer."""
_MILLISECONDS = Fraction(1, 1000)


class TextConversion:
    """Converts packets of a text subtitle stream to the text format of the output's container.

    FFmpeg's decoders convert every text format to ASS events, and its encoders write these in the other format: bold,
    italic, colours and positions are kept if both formats support them.

    Attributes:
        name: FFmpeg's name of the format.
        stream: of the output.
        damaged: number of packets that could not be decoded, and were left out.
    """

    def __init__(self, source: Any, target: OutputContainer) -> None:
        """Add a stream to `target` for the subtitle stream `source`; see `convertible`."""
        import av

        self.name = _TEXT_ENCODERS[target.format.name]
        self.damaged = 0
        self._decoder: Any = source.codec_context
        self._decoder.open(strict=False)
        self._encoder = av.Codec(self.name, "w").create("subtitle")
        self._encoder.time_base = _MILLISECONDS
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self._encoder.open()
        self.stream = cast("Any", target.add_stream(self.name))
        self.stream.codec_context.subtitle_header = self._decoder.subtitle_header
        self.stream.time_base = _MILLISECONDS

    def __call__(self, packet: Any) -> Iterator[Any]:
        """The packets of the target for one of the source: one for each event with text."""
        import av
        from av.subtitles.subtitle import AssSubtitle, SubtitleSet

        try:
            decoded = self._decoder.decode2(packet)
        except av.FFmpegError:
            self.damaged += 1  # text that is not UTF-8, for instance; said in a note
            return
        start = packet.pts * packet.time_base
        for event in decoded or ():
            if not isinstance(event, AssSubtitle) or not event.dialogue.strip():
                continue
            length = (packet.duration or 0) * packet.time_base or Fraction(decoded.end_display_time, 1000)
            shown = SubtitleSet.create(event.ass, 0, round(length * 1000))
            made = self._encoder.encode_subtitle(shown)
            made.stream, made.time_base = self.stream, _MILLISECONDS
            made.pts = made.dts = round(start * 1000)
            made.duration = round(length * 1000)
            yield made


def convertible(stream: Any, target: OutputContainer) -> bool:
    """Whether a subtitle stream is text, and the container supports a text format."""
    context = stream.codec_context
    return context is not None and context.codec.text_sub and target.format.name in _TEXT_ENCODERS
