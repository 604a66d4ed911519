"""Encoders of clips that tests and training make from pictures: 4:2:0, one thread, settings that are typed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import Unavailable
from toolkit.media.videos.colour import Colour, FromRgb, tagged
from toolkit.system.extras import how_to_install
from toolkit.system.hardware import cpu_model
from toolkit.system.scheduling import unchanged_scheduling

if TYPE_CHECKING:
    import av

    from toolkit.media.upscaler import Planes

PIX_FMT = "yuv420p"


@dataclass(frozen=True)
class CodecSettings:
    """One way to encode a clip.

    Attributes:
        codec: FFmpeg's name of the encoder.
        options: of the encoder.
        colour: matrix, range and chroma location of the 4:2:0 frames that are encoded.
        group: distance of key frames.
    """

    codec: str
    options: tuple[tuple[str, str], ...]
    colour: Colour
    group: int


def require_encoders(names: Iterable[str]) -> None:
    """Raise Unavailable unless PyAV is there, and its FFmpeg has all of these encoders."""
    try:
        import av
    except ImportError as error:
        raise Unavailable(f"PyAV cannot be imported: {error}", how_to_install("video")) from error
    missing = [name for name in names if name not in av.codecs_available]
    if missing:
        raise Unavailable(f"FFmpeg here lacks {', '.join(missing)}", "Install PyAV from PyPI: its FFmpeg has them.")


def configure(encoder: Any, settings: CodecSettings, width: int, height: int, rate: Fraction) -> None:
    """Set up an encoder for frames of a clip; times count frames.

    Args:
        encoder: a codec context that is not open yet.
        settings: what is set.
        width: of a frame, even.
        height: of a frame, even.
        rate: frames per second.
    """
    from av.codec.context import Flags

    os.environ.setdefault("SVT_LOG", "1")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, PIX_FMT
    encoder.time_base, encoder.framerate = 1 / rate, rate
    # One thread: with several, some encoders' results depend on their number.
    encoder.thread_count, encoder.gop_size = 1, settings.group
    encoder.flags |= Flags.global_header
    tagged(encoder, settings.colour)
    encoder.options = _repeatable(settings)


def _repeatable(settings: CodecSettings) -> dict[str, str]:
    """The options, with x264 held to AVX2: in PyAV's build, its AVX-512 code gives one clip different packets from run
    to run (186 of 909 pairs of clips differed, and none of 940 with AVX2)."""
    options = dict(settings.options)
    if settings.codec == "libx264" and any(flag.startswith("avx512") for flag in cpu_model()[1]):
        options["x264-params"] = ":".join(filter(None, [options.get("x264-params", ""), "asm=avx2"]))
    return options


def encoded(encoder: Any, frames: Iterable[Planes], colour: Colour, rate: Fraction) -> Iterator[av.Packet[Any]]:
    """Packets of a clip in decoding order.

    Args:
        encoder: see `configure`; or the stream of a container whose codec context it is.
        frames: uint8 RGB (3, H, W); only those that the encoder holds back are in memory.
        colour: of the frames that are encoded.
        rate: frames per second.
    """
    from_rgb = FromRgb(encoder.width, encoder.height, 255, colour, PIX_FMT)
    for number, planes in enumerate(frames):
        frame: Any = from_rgb(np.ascontiguousarray(planes))
        frame.pts, frame.time_base = number, 1 / rate
        with unchanged_scheduling() if number == 0 else nullcontext():  # which opens the encoder
            packets = encoder.encode(frame)
        yield from packets
    yield from encoder.encode(None)
