"""Muxing: encoded segments, and the other streams and metadata of the input, written to one file."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import InputError
from toolkit.media.videos.copied import Copies, add_copies, kept, muxer_options
from toolkit.media.videos.counting import check_written
from toolkit.media.videos.encoding import Encoding, Part, configure
from toolkit.media.videos.opening import created, opened
from toolkit.media.videos.packets import copied_packets, merged, video_packets
from toolkit.media.videos.video_file import VideoFile
from toolkit.system.atomic import new_file, temporary_name

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

# Not AVI, which has no timestamps.
FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
    ".nut": "nut",
}
_EDIT_LISTS = frozenset({"mp4", "mov"})


def container_format(path: Path) -> str:
    """FFmpeg's name of the container for a file's suffix.

    Raises:
        InputError: there is none.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path} does not name a container by its suffix", f"Known: {', '.join(FORMATS)}.")
    return FORMATS[path.suffix.lower()]


def wants_global_header(path: Path) -> bool:
    """Whether a container stores codec parameters once in its header, rather than in the stream."""
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
    """Write the output, through a temporary file.

    Args:
        video: the input, whose audio, subtitles, chapters and metadata are copied.
        parts: encoded segments in order.
        encoding: of the parts.
        output: path of the file.
        end: seconds on the input's clock at which the output ends, if that is before the end of the input.
        overwrite: whether an existing file is replaced.

    Returns:
        Notes about what the container does not support.

    Raises:
        InputError: the file cannot be written, or the container does not support the audio or video.
        OutputExists: the output exists, and `overwrite` is false.
        CheckFailed: the file does not hold all packets that were written.
    """
    import av

    try:
        with new_file(output, overwrite=overwrite) as temporary:
            with opened(video.path) as source, _created(temporary, output, source) as target:
                notes, frames = _write(video, source, parts, encoding, target, output, end)
            check_written(temporary, output, frames)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot write {output}: {reason}",
            "Check that the disk is not full and that this container supports the codec.",
        ) from error
    return notes


def rehearse(video: VideoFile, encoding: Encoding, output: Path) -> None:
    """Write the header of a file and remove it again, so that a job that cannot be muxed fails at its start.

    Raises:
        InputError: as `assemble`.
    """
    import av

    temporary = temporary_name(output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with opened(video.path) as source, _created(temporary, output, source) as target:
            _prepare(video, source, encoding, target, output, None)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot write {output}: {reason}", "Choose another directory, container or codec.") from error
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
) -> tuple[list[str], int]:
    """Write all packets; returns notes, and the number of video packets."""
    from av.format import Flags

    stream, copies = _prepare(video, source, encoding, target, output, end)
    target.mux(copies.covers)
    edits = target.format.name in _EDIT_LISTS
    strict = not Flags(target.format.flags) & Flags.ts_nonstrict
    copied = copied_packets(source, copies, video.timing, end, edits=edits, strict=strict)
    frames = 0
    for packet in merged(video_packets(parts, stream, encoding, video.timing), copied):
        frames += packet.stream is stream
        target.mux(packet)
    return copies.final_notes(), frames


def _prepare(
    video: VideoFile,
    source: InputContainer,
    encoding: Encoding,
    target: OutputContainer,
    output: Path,
    end: Fraction | None,
) -> tuple[Any, Copies]:
    """Add the streams, metadata and chapters of the output, and write its header."""
    stream: Any = target.add_stream(encoding.codec, rate=Fraction(*encoding.rate))
    configure(stream.codec_context, encoding, global_header=wants_global_header(output))
    if target.format.name in ("mp4", "mov") and stream.codec_context.codec.canonical_name == "hevc":
        stream.codec_context.codec_tag = "hvc1"  # FFmpeg writes hev1, which Apple's players refuse
    stream.time_base = Fraction(*encoding.time_base)
    stream.metadata.update(kept(source.streams[video.stream].metadata))
    copies = add_copies(video.path, source, target, output, video.stream)
    target.metadata.update(kept(source.metadata))
    if chapters := source.chapters():
        chapters = [_moved(chapter, video.timing.clock.start) for chapter in chapters]
        target.set_chapters([chapter for chapter in chapters if end is None or _start(chapter) < end])
    target.start_encoding()
    return stream, copies


def _moved(chapter: Any, seconds: Fraction) -> Any:
    ticks = round(seconds / chapter["time_base"])
    return {**chapter, "start": chapter["start"] + ticks, "end": chapter["end"] + ticks}


def _start(chapter: Any) -> Fraction:
    return Fraction(chapter["start"] * chapter["time_base"])
