"""Streams other than the video: audio, subtitles, attachments, cover pictures and metadata are copied."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputError
from toolkit.media.videos.description import codec_name
from toolkit.media.videos.opening import opened
from toolkit.media.videos.subtitles import TextConversion, convertible

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

_OF_THE_OLD_FILE = re.compile(
    r"encoder|major_brand|minor_version|compatible_brands|vendor_id|rotate|alpha_mode"
    r"|(BPS|DURATION|NUMBER_OF_FRAMES|NUMBER_OF_BYTES|_STATISTICS_\w+)(-\w+)?",
    re.IGNORECASE,
)
"""Tags that describe the old file's encoding, such as the statistics that mkvmerge writes for each track."""
_MOV = frozenset({"mp4", "mov"})
_MP4_ONLY = frozenset({"opus", "flac", "truehd"})
"""Audio codecs that FFmpeg's MOV muxer lists, but writes only to MP4."""
_FREE_TAGS = "use_metadata_tags"
"""The flag of FFmpeg's MOV and MP4 muxers for tags of any name; without it only iTunes tags are written."""
_IMAGE_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "bmp": ("bmp", "image/bmp")}


@dataclass
class Copies:
    """Streams of the output other than its video.

    Attributes:
        source: path of the input.
        suffix: of the output's name, for notes.
        streams: the output's stream for each stream of the input that is copied unchanged, by index.
        conversions: of text subtitles, by index.
        covers: packets of cover pictures, which have no time.
        notes: what was converted or left out.
    """

    source: Path
    suffix: str
    streams: dict[int, Any] = field(default_factory=dict)
    conversions: dict[int, TextConversion] = field(default_factory=dict)
    covers: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def indices(self) -> list[int]:
        """Indices of the input's streams whose packets are needed."""
        return sorted([*self.streams, *self.conversions])

    def packets(self, packet: Any) -> Iterable[Any]:
        """The packets of the output for a packet of the input."""
        index = packet.stream_index
        if index in self.conversions:
            return self.conversions[index](packet)
        packet.stream = self.streams[index]
        return (packet,)

    def final_notes(self) -> list[str]:
        """All notes, after the last packet."""
        damaged = sum(item.damaged for item in self.conversions.values())
        return [*self.notes, *([f"{damaged} damaged subtitles were left out"] if damaged else [])]


def kept(metadata: dict[str, str]) -> dict[str, str]:
    """Tags without those that describe the old file's encoding."""
    return {key: value for key, value in metadata.items() if not _OF_THE_OLD_FILE.fullmatch(key)}


def muxer_options(source: InputContainer, container_format: str) -> dict[str, str]:
    """Options of the muxer that keep the input's metadata.

    Phones write location, model and date with names such as com.apple.quicktime.model. These need another kind of tags,
    which excludes the usual ones and cover pictures, and is therefore used only for files that have such names.
    """
    free = container_format in _MOV and any(key.startswith("com.") for key in source.metadata)
    return {"movflags": _FREE_TAGS} if free else {}


def add_copies(path: Path, source: InputContainer, target: OutputContainer, output: Path, chosen: int) -> Copies:
    """Add the output's streams for everything but the video stream `chosen`.

    Raises:
        InputError: the container does not support the audio codec.
    """
    from av.stream import Discard

    copies = Copies(path, output.suffix)
    for stream in source.streams:
        if stream.index == chosen or stream.discard == Discard.all:
            continue  # FFmpeg discards tracks of chapters, which are copied as chapters
        if stream.type == "attachment" and target.format.name == "matroska":
            target.add_stream_from_template(stream)
            continue
        kind = "cover" if stream.disposition & _cover() else stream.type
        add = _ADDERS.get(kind)
        if not (add and add(copies, stream, target)) and not _is_made_again(stream, source, target):
            undecodable = stream.type in ("audio", "video", "subtitle") and stream.codec_context is None
            reason = ": FFmpeg has no decoder for it here" if undecodable else ""
            copies.notes.append(f"{_name(source, stream)} was left out{reason}")
    return copies


def _add_audio(copies: Copies, stream: Any, target: OutputContainer) -> bool:
    if stream.codec_context is None:
        return False
    name = stream.codec_context.name
    if not _takes(target, name, stream.type):
        other = ".nut" if target.format.name == "matroska" else ".mkv or a .nut"
        raise InputError(
            f"{copies.suffix} does not support {name} audio", f"Write a {other}, which supports nearly all codecs."
        )
    _add_copy(copies, stream, target)
    return True


def _add_subtitles(copies: Copies, stream: Any, target: OutputContainer) -> bool:
    if stream.codec_context is not None and _takes(target, stream.codec_context.name, stream.type):
        _add_copy(copies, stream, target)
        return True
    if not convertible(stream, target):
        return False
    conversion = TextConversion(stream, target)
    _describe_alike(stream, conversion.stream)
    copies.conversions[stream.index] = conversion
    copies.notes.append(f"{stream.codec_context.name} subtitles became {conversion.name}, which {copies.suffix} takes")
    return True


def _add_copy(copies: Copies, stream: Any, target: OutputContainer) -> None:
    copy = target.add_stream_from_template(stream, opaque=True)
    _describe_alike(stream, copy)
    copies.streams[stream.index] = copy


def _describe_alike(stream: Any, copy: Any) -> None:
    copy.metadata.update(kept(stream.metadata))
    copy.disposition = stream.disposition


def _add_cover(copies: Copies, stream: Any, target: OutputContainer) -> bool:
    import av

    if stream.codec_context is None or stream.codec_context.name not in _IMAGE_TYPES:
        return False
    if target.format.name == "mp4" and _FREE_TAGS not in target.container_options.get("movflags", ""):
        copy = target.add_stream_from_template(stream, opaque=True)
        _describe_alike(stream, copy)
        packet = av.Packet(_picture(copies.source, stream.index))
        packet.stream, packet.time_base, packet.pts, packet.dts = copy, Fraction(1, 90000), 0, 0
        packet.is_keyframe = True
        copies.covers.append(packet)
        return True
    if target.format.name != "matroska":
        return False
    suffix, kind = _IMAGE_TYPES[stream.codec_context.name]
    name = stream.metadata.get("filename") or f"cover.{suffix}"
    target.add_attachment(name, kind, _picture(copies.source, stream.index))
    return True


def _picture(path: Path, index: int) -> bytes:
    """The bytes of a cover picture. The file is opened again: packets that are read here would be missing later."""
    with opened(path) as container:
        return next((bytes(packet) for packet in container.demux(container.streams[index]) if packet.size), b"")


_ADDERS: dict[str, Callable[[Copies, Any, OutputContainer], bool]] = {
    "audio": _add_audio,
    "subtitle": _add_subtitles,
    "cover": _add_cover,
}
"""By kind of stream: adds it to the output, and returns False if the output does not support it."""


def _is_made_again(stream: Any, source: InputContainer, target: OutputContainer) -> bool:
    """Whether the muxer creates a data stream from copied metadata: a timecode track."""
    if stream.type != "data" or target.format.name not in _MOV:
        return False
    return codec_name(source, stream.index) == "tmcd" and "timecode" in stream.metadata


def _takes(target: OutputContainer, codec: str, kind: str) -> bool:
    import av

    if target.format.name == "mpegts":
        return kind == "audio"  # FFmpeg gives no reason
    if target.format.name == "nut" and kind == "subtitle":
        return False  # it does not store how long they are shown
    canonical = av.Codec(codec, "r").canonical_name
    if target.format.name == "mov" and canonical in _MP4_ONLY:
        return False
    return bool({codec, canonical} & target.supported_codecs)


def _name(source: InputContainer, stream: Any) -> str:
    """Description of a stream for notes: kind, codec and index."""
    file_name = stream.metadata.get("filename")
    if file_name:
        return f"attachment {file_name!r}"
    what = "cover picture" if stream.disposition & _cover() else stream.type
    return f"stream {stream.index}, {what} ({codec_name(source, stream.index)}),"


def _cover() -> Any:
    from av.stream import Disposition

    return Disposition.attached_pic
