"""Opening local media files with FFmpeg; URLs, file name patterns and playlists are never opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import InputError, Unavailable
from toolkit.system.extras import how_to_install

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

_DEMUXERS = (
    *("apng", "apv", "asf", "av1", "avi", "avs2", "avs3", "cavsvideo", "cine", "dhav", "dirac", "dnxhd", "dv", "evc"),
    *("flv", "gif", "gxf", "h261", "h263", "h264", "hevc", "ingenient", "ivf", "kux", "live_flv", "lxf", "m4v"),
    *("matroska", "mgsts", "mjpeg", "mlv", "mods", "mov", "mp3", "mp4", "mpeg", "mpegts", "mpegtsraw", "mpegvideo"),
    *("mpjpeg", "mxf", "mxg", "nsv", "nut", "nuv", "obu", "ogg", "pva", "r3d", "rm", "ser", "smjpeg", "swf", "ty"),
    *("vc1", "vc1test", "vivo", "vvc", "wav", "webm", "wtv", "yuv4mpegpipe"),
    # Formats of games and old players.
    *(
        "4xm",
        "anm",
        "bethsoftvid",
        "bfi",
        "bink",
        "c93",
        "cdxl",
        "dsicin",
        "dxa",
        "ea",
        "film_cpk",
        "filmstrip",
        "flic",
    ),
    *("gdv", "hnm", "idcin", "iff", "ipmovie", "jv", "lmlm4", "mm", "moflex", "mtv", "mv", "mvi", "paf", "psxstr"),
    *("rl2", "roq", "rpl", "sga", "siff", "smk", "smush", "thp", "tiertexseq", "tmv", "txd", "usm", "vividas", "vmd"),
    *("wc3movie", "wsvqa", "xmv", "yop"),
)
"""Demuxers that read only one file. FFmpeg chooses a demuxer by content: without this list, a text file named .mp4
could be a playlist (hls, dash, concat, sdp), which opens any file or address that it names."""
_LIMITS = {"protocol_whitelist": "file", "format_whitelist": ",".join(_DEMUXERS)}


def local_url(path: Path) -> str:
    """A path that FFmpeg takes literally; without the prefix, a colon in a name would end a protocol."""
    return f"file:{path.absolute()}"


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A media file opened for reading.

    Raises:
        Unavailable: PyAV is not installed.
        InputError: there is no such file, or it is not a supported media file.
    """
    try:
        import av
    except ImportError as error:
        raise Unavailable(f"PyAV cannot be imported: {error}", how_to_install("video")) from error
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    if not path.stat().st_size:
        raise InputError(f"cannot read video {path}: the file is empty", "Copy or download it again.")
    try:
        container = av.open(local_url(path), "r", options=_LIMITS, metadata_errors="replace")
    except av.ArgumentError as error:
        raise InputError(
            f"cannot read video {path}: its content is not a video container that is supported",
            "Playlists and lists of files (HLS, DASH, concat, SDP) are not read: give the videos that they name.",
        ) from error
    except av.FFmpegError as error:
        raise InputError(f"cannot read video {path}: {error.strerror}", "Check that it is a complete video.") from error
    with container:
        yield container


def created(path: Path, container_format: str, options: dict[str, str] | None = None) -> OutputContainer:
    """A media file opened for writing; an existing one is replaced.

    Args:
        path: of the file.
        container_format: FFmpeg's name of the muxer.
        options: of the muxer.

    Raises:
        av.FFmpegError, OSError: it cannot be opened.
    """
    import av

    return av.open(local_url(path), "w", format=container_format, container_options=options)
