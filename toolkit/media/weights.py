"""Which of the toolkit's own weights a file is upscaled with, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from toolkit.errors import ToolkitError
from toolkit.images.jpeg import jpeg_quality
from toolkit.media.item import Item
from toolkit.media.videos.opening import opened
from toolkit.network.bundled_files import Purpose

Weights = Literal["auto", "clean", "video"]
"""What a user asks for; `auto`: by the file."""

_EDITING_CODECS = frozenset({"apv", "cfhd", "dnxhd", "prores"})
"""FFmpeg's names of lossy codecs whose files are for editing: several hundred megabits per second at 4K."""

_CLEAN_JPEG = 90
"""Quality of JPEG files from which on they are upscaled as clean pictures."""


class Choice(msgspec.Struct, frozen=True):
    """Weights for a file.

    Attributes:
        purpose: what the weights were trained for; empty: a network of the user's own.
        reason: why they were chosen, for people; empty where the user named the network.
    """

    purpose: Purpose | Literal[""] = ""
    reason: str = ""

    def __str__(self) -> str:
        """For people: `video weights (a video)`."""
        return f"{self.purpose} weights ({self.reason})" if self.purpose else self.reason


def choose(item: Item, asked: Weights) -> tuple[Purpose, str]:
    """What kind of weights suits a file, and why.

    A JPEG file counts by the quality that its quantisation tables have, not by its name. A video counts as clean if its
    codec is lossless, or one for editing, whose losses are small.
    """
    if asked != "auto":
        return asked, "--weights"
    if item.kind == "video":
        codec = _clean_codec(item.source)
        return ("clean", f"a video in {codec}") if codec else ("video", "a video")
    quality = jpeg_quality(item.source)
    if quality is None:
        return "clean", "a picture"
    return "video" if quality.value < _CLEAN_JPEG else "clean", str(quality)


def _clean_codec(path: Path) -> str | None:
    """FFmpeg's name of the codec of a video, if it leaves nothing behind that video weights were trained for."""
    try:
        with opened(path) as container:
            codecs = [stream.codec_context.codec for stream in container.streams.video if stream.codec_context]
    except ToolkitError:
        return None  # reading the file fails later, with the reason
    if not codecs:
        return None
    first = codecs[0]
    return first.name if first.name in _EDITING_CODECS or (first.lossless and not first.lossy) else None
