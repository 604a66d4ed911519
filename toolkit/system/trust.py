"""Files that this installation wrote, or that a runtime loaded without harm in a process of its own.

They are known by their SHA-256 in the user's cache, which is trusted. What a file says about itself is not: a manifest
can be written by anybody.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from toolkit.system.cache import cache_directory

WRITTEN_HERE = "written here"

_known: set[tuple[str, str]] = set()


def is_sound(sha256: str, by: str) -> bool:
    """Whether the file was written here, or was loaded without harm by `by`, a runtime and its version."""
    return any((sha256, name) in _known or _mark(sha256, name).is_file() for name in (WRITTEN_HERE, by))


def was_written_here(sha256: str) -> bool:
    return is_sound(sha256, WRITTEN_HERE)


def remember(sha256: str, by: str) -> None:
    """Remember it in the cache; where that cannot be written, for this process only."""
    _known.add((sha256, by))
    mark = _mark(sha256, by)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        return  # a home that is read-only costs the next process a second


def _mark(sha256: str, by: str) -> Path:
    name = hashlib.sha256(f"{sha256}\0{by}".encode()).hexdigest()
    return cache_directory() / "sound" / name[:2] / name
