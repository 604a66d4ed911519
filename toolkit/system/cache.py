"""The user's cache directory, for files that the toolkit can create again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/rt4ksr-toolkit`, or `~/.cache/rt4ksr-toolkit` if that variable is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rt4ksr-toolkit"
