"""Reads properties of streams from the text that FFmpeg prints, because PyAV has no attribute for them."""

from __future__ import annotations

import re
import threading
from typing import Any

_LOG_LOCK = threading.Lock()
_CODEC = re.compile(r"Stream #0:\d+(?:\[\w+\])?(?:\([^()]*\))?: \w+: ([\w-]+)")
_TAG = re.compile(r" \(([^()/]+) / 0x[0-9A-F]+\)")


def description(container: Any, index: int) -> str:
    """FFmpeg's line about a stream: `Stream #0:0(und): Video: h264 (High) (avc1 / 0x31637661), yuv420p(tv, topleft)`.

    Args:
        container: an open file.
        index: of the stream.
    """
    import av.logging

    with _LOG_LOCK:
        before = av.logging.get_level()
        av.logging.set_level(av.logging.VERBOSE)
        av.logging.set_libav_level(av.logging.VERBOSE)
        try:
            text = container.dumps_format()
        finally:
            av.logging.set_level(before)
    # Streams of programs (MPEG-TS) come first, so that stream 10 may come before stream 1.
    return next((line for line in text.splitlines() if re.search(rf"Stream #0:{index}\b", line)), "")


def codec_name(container: Any, index: int) -> str:
    """FFmpeg's name of a stream's codec; the codec tag of the file if FFmpeg does not know it."""
    line = description(container, index)
    found, tag = _CODEC.search(line), _TAG.search(line)
    if tag and (found is None or found[1] in ("none", "bin_data")):
        return tag[1].strip()
    return found[1] if found and found[1] != "none" else "unknown"
