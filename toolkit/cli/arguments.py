"""Values that several commands read alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import toolkit
from toolkit.cli.console import warn

DEFAULT_DIRECTORY = Path("exported")


def split(text: str | None) -> list[str]:
    """The parts of a comma-separated list, each once."""
    return list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _left_out(error: toolkit.ArtifactError) -> None:
    warn((f"left out: {error.args[0]}",))


def find_artifacts(
    directory: Path, skip: Callable[[toolkit.ArtifactError], None] = _left_out
) -> list[toolkit.Artifact]:
    """All sound artifacts of a directory; of the others `skip` is told, which shows a note by default.

    Raises:
        InputError: there is no such directory, and it is not the default one, which need not be there yet.
    """
    if directory != DEFAULT_DIRECTORY and not directory.is_dir():
        raise toolkit.InputError(f"there is no directory {directory}", "Give one that `toolkit export` wrote to.")
    return toolkit.find_artifacts(directory, skip=skip)


def size(shape: tuple[int, int] | None) -> str:
    """(height, width) for people, in an order that cannot be mistaken; None: any size."""
    if shape is None:
        return "dynamic"
    found = toolkit.Shape(*shape)
    return f"{found} ({found.in_words})"


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


def share(text: str, option: str) -> float:
    """`5%` or `0.05`.

    Raises:
        InputError: it is neither.
    """
    number = text.strip()
    try:
        return float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError as error:
        raise toolkit.InputError(f"{option} {text!r} is no share", "Write 5% or 0.05.") from error


def processors(text: str | None) -> list[int]:
    """`0-3,8` as numbers.

    Raises:
        InputError: it is no such list.
    """
    found: list[int] = []
    for part in split(text):
        first, _, last = part.partition("-")
        try:
            found += range(int(first), int(last or first) + 1)
        except ValueError as error:
            raise toolkit.InputError(f"--cpus {text!r} is no list of processors", "Write 0-3,8.") from error
    return found
