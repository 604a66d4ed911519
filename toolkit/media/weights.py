"""Which of the toolkit's own weights a file is upscaled with, and why."""

from __future__ import annotations

from typing import Literal

import msgspec

from toolkit.images.jpeg import jpeg_quality
from toolkit.media.item import Item
from toolkit.network.bundled_files import Purpose

Weights = Literal["auto", "clean", "video"]
"""What a user asks for; `auto`: by the file."""

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

    A JPEG file counts by the quality that its quantisation tables have, not by its name.
    """
    if asked != "auto":
        return asked, "--weights"
    if item.kind == "video":
        return "video", "a video"
    quality = jpeg_quality(item.source)
    if quality is None:
        return "clean", "a picture"
    return "video" if quality.value < _CLEAN_JPEG else "clean", str(quality)
