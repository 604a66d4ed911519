"""Settings of videos: how they are decoded, upscaled and encoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from toolkit.media.strips import MEMORY
from toolkit.media.videos.chroma import Chroma
from toolkit.media.videos.decoding import OnError
from toolkit.media.videos.encoding import VideoFormat

Reuse = Literal["exact", "off"]


@dataclass(frozen=True)
class VideoSettings:
    """How videos are upscaled; `UpscaleOptions` describes the fields."""

    format: VideoFormat = field(default_factory=VideoFormat)
    on_error: OnError = "stop"
    deinterlace: bool = False
    reuse: Reuse = "exact"
    duration: float | None = None
    memory: int = MEMORY
    chroma: Chroma | None = None
