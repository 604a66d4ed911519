"""Trusted files: those that this installation wrote, or that a runtime loaded in a separate process without a crash.

They are recorded by SHA-256 in the user's cache, which is trusted. What a file says about itself is not trusted:
anybody can write a manifest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from toolkit.system.cache import cache_directory

WRITTEN_HERE = "written here"

_known: set[tuple[str, str]] = set()


def is_sound(sha256: str, by: str) -> bool:
    """Whether a file was written here, or was loaded without a crash by `by`, a runtime and its version."""
    return any((sha256, name) in _known or _mark(sha256, name).is_file() for name in (WRITTEN_HERE, by))


def was_written_here(sha256: str) -> bool:
    return is_sound(sha256, WRITTEN_HERE)


def remember(sha256: str, by: str) -> None:
    """Record a file as trusted, in the cache; if that cannot be written, for this process only."""
    _known.add((sha256, by))
    mark = _mark(sha256, by)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        return  # the home directory is read-only: the next process checks the file again, which takes about a second


def _mark(sha256: str, by: str) -> Path:
    name = hashlib.sha256(f"{sha256}\0{by}".encode()).hexdigest()
    return cache_directory() / "sound" / name[:2] / name
