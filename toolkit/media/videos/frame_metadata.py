"""Metadata of frames that encoders cannot write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

_NAMES = {
    "A53_CC": "closed captions in the video's own packets",
    "DYNAMIC_HDR_PLUS": "HDR10+ metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid metadata",
    "SPHERICAL": "the projection of a 360 degree video",
    "STEREO3D": "the layout of a stereoscopic video",
    "ICC_PROFILE": "an ICC profile",
}


def unkept_metadata(frame: av.VideoFrame) -> tuple[str, ...]:
    """Descriptions of the metadata of a decoded frame that the output will not have."""
    side_data: Any = frame.side_data
    kinds = {item.type.name for item in side_data}
    return tuple(name for kind, name in _NAMES.items() if kind in kinds)
