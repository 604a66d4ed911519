"""Values that several commands read alike."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import toolkit
from toolkit.cli.console import warn

DEFAULT_DIRECTORY = Path("exported")


def split(text: str | None) -> list[str]:
    """The parts of a comma-separated list, each once."""
    return list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def find_artifacts(directory: Path) -> list[toolkit.Artifact]:
    """All sound artifacts of a directory; the others are mentioned.

    Raises:
        InputError: there is no such directory, and it is not the default one, which need not be there yet.
    """
    if directory != DEFAULT_DIRECTORY and not directory.is_dir():
        raise toolkit.InputError(f"there is no directory {directory}", "Give one that `toolkit export` wrote to.")
    return toolkit.find_artifacts(directory, skip=lambda error: warn((f"left out: {error.args[0]}",)))


def precisions(text: str) -> list[toolkit.Precision]:
    """A comma-separated list of precisions, each once.

    Raises:
        InputError: it is empty, or one of them is none.
    """
    known = {name: name for name in get_args(toolkit.Precision)}
    asked = split(text)
    if unknown := [name for name in asked if name not in known]:
        raise toolkit.InputError(f"there is no precision {unknown[0]!r}", f"Choose from {', '.join(known)}.")
    if not asked:
        raise toolkit.InputError("no precision was named", f"Choose from {', '.join(known)}.")
    return [known[name] for name in asked]
