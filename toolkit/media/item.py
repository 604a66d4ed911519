"""A file to upscale, and its output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["image", "video"]


@dataclass(frozen=True)
class Item:
    """A file to upscale.

    Attributes:
        source: path of the file.
        output: path of the result.
        kind: picture or video.
    """

    source: Path
    output: Path
    kind: Kind
