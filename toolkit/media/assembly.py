"""Encoded segments and everything else of the input into one file."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.atomic import publish
from toolkit.errors import InputError
from toolkit.media.copied import Copies, add_copies, kept, muxer_options
from toolkit.media.encoding import EncodedPacket, Encoding, Part, configure
from toolkit.media.opening import created, opened
from toolkit.media.video_file import VideoFile

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

# Not AVI, which keeps no times.
FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".nut": "nut",
}


def container_format(path: Path) -> str:
    """FFmpeg's name of the container that a file's name asks for.

    Raises:
        InputError: none.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path} does not say which container to write", f"Known: {', '.join(FORMATS)}.")
    return FORMATS[path.suffix.lower()]


def wants_global_header(path: Path) -> bool:
    """Whether a container keeps codec parameters once, in front, rather than in the stream."""
    import av
    from av.format import Flags

    return bool(Flags(av.ContainerFormat(container_format(path), "w").flags) & Flags.global_header)


def assemble(
    video: VideoFile,
    parts: Iterable[Part],
    encoding: Encoding,
    output: Path,
    *,
    end: Fraction | None,
    overwrite: bool = False,
) -> list[str]:
    """Write a file: through a temporary one, so that it is there whole or not at all.

    Args:
        video: the input, whose audio, subtitles, chapters and metadata are copied.
        parts: in order.
        encoding: of the parts.
        output: where to.
        end: seconds on the input's clock where the output ends before the input does.
        overwrite: an existing file.

    Returns:
        Notes about what the container could not take.

    Raises:
        InputError: it cannot be written, or the container does not take this audio or video.
        OutputExists: the output exists, and `overwrite` is false.
    """
    import av

    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with opened(video.path) as source, _created(temporary, output, source) as target:
            notes = _write(video, source, parts, encoding, target, output, end)
        publish(temporary, output, overwrite=overwrite)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot write {output}: {reason}", "Is there room, and does this container take it?"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return notes


def rehearse(video: VideoFile, encoding: Encoding, output: Path) -> None:
    """Write the head of a file and remove it again: what would fail at the end of a long job fails before it.

    Raises:
        InputError: as `assemble`.
    """
    import av

    temporary = output.with_name(f".{output.name}.{os.getpid()}.head")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with opened(video.path) as source, _created(temporary, output, source) as target:
            _prepare(video, source, encoding, target, output, None)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot write {output}: {reason}", "Choose another place, container or codec.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _created(path: Path, output: Path, source: InputContainer) -> OutputContainer:
    """A file at `path` in the container that the name of `output` asks for."""
    muxer = container_format(output)
    return created(path, muxer, muxer_options(source, muxer))


def _write(
    video: VideoFile,
    source: InputContainer,
    parts: Iterable[Part],
    encoding: Encoding,
    target: OutputContainer,
    output: Path,
    end: Fraction | None,
) -> list[str]:
    stream, copies = _prepare(video, source, encoding, target, output, end)
    target.mux(copies.covers)
    for packet in _merged(_video_packets(parts, stream, encoding), _other_packets(source, copies, end)):
        target.mux(packet)
    return copies.final_notes()


def _prepare(
    video: VideoFile,
    source: InputContainer,
    encoding: Encoding,
    target: OutputContainer,
    output: Path,
    end: Fraction | None,
) -> tuple[Any, Copies]:
    """Streams, metadata and chapters of the output, and its head."""
    stream: Any = target.add_stream(encoding.codec, rate=Fraction(*encoding.rate))
    configure(stream.codec_context, encoding, global_header=wants_global_header(output))
    if target.format.name in ("mp4", "mov") and stream.codec_context.codec.canonical_name == "hevc":
        stream.codec_context.codec_tag = "hvc1"  # FFmpeg writes hev1, which Apple's players refuse
    stream.time_base = Fraction(*encoding.time_base)
    stream.metadata.update(kept(source.streams[video.stream].metadata))
    copies = add_copies(video.path, source, target, output, video.stream)
    target.metadata.update(kept(source.metadata))
    if chapters := source.chapters():
        target.set_chapters([chapter for chapter in chapters if end is None or _start(chapter) < end])
    target.start_encoding()
    return stream, copies


def _start(chapter: Any) -> Fraction:
    return Fraction(chapter["start"] * chapter["time_base"])


def _video_packets(parts: Iterable[Part], stream: Any, encoding: Encoding) -> Iterator[tuple[Fraction, Any]]:
    import av

    base = Fraction(*encoding.time_base)
    for packet in _increasing(parts):
        made = av.Packet(packet.data)
        made.stream, made.time_base = stream, base
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        made.is_keyframe = packet.key
        yield packet.dts * base, made


def _increasing(parts: Iterable[Part]) -> Iterator[EncodedPacket]:
    """Decoding times of a segment with frames of uneven length may reach back into the one before."""
    last: int | None = None
    for part in parts:
        for packet in part.packets:
            dts = packet.dts if last is None else max(packet.dts, last + 1)
            last = dts
            yield (
                packet
                if dts == packet.dts
                else EncodedPacket(max(packet.pts, dts), dts, packet.duration, packet.key, packet.data)
            )


def _other_packets(source: InputContainer, copies: Copies, end: Fraction | None) -> Iterator[tuple[Fraction, Any]]:
    import av

    if not copies.indices:
        return
    try:
        for packet in source.demux([source.streams[index] for index in copies.indices]):
            time = packet.dts if packet.dts is not None else packet.pts
            if time is None:
                continue
            seconds = time * packet.time_base
            if end is not None and seconds >= end:
                continue
            for made in copies.packets(packet):
                yield seconds, made
    except av.FFmpegError:
        return  # a file that is cut off: its sound ends there too


def _merged(first: Iterator[tuple[Fraction, Any]], second: Iterator[tuple[Fraction, Any]]) -> Iterator[Any]:
    """Packets of both by their time."""
    for _, packet in heapq.merge(first, second, key=lambda timed: timed[0]):
        yield packet
