"""Values on the command line: how lists, shares, sizes and CPUs are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from toolkit.cli.console import warn
from toolkit.errors import ArtifactError, InputError
from toolkit.precisions import Precision
from toolkit.workloads import Shape

if TYPE_CHECKING:
    from toolkit.artifact import Artifact


def split(text: str | None) -> list[str]:
    """The items of a comma-separated list, without duplicates."""
    return list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _skipped(error: ArtifactError) -> None:
    warn((f"skipped: {error.args[0]}",))


def find_artifacts(directory: Path, skip: Callable[[ArtifactError], None] = _skipped) -> list[Artifact]:
    """All valid artifacts in a directory. The error of each invalid one is passed to `skip`, which prints a note."""
    from toolkit.artifact import find_artifacts as all_artifacts

    return all_artifacts(directory, skip=skip)


def size(shape: tuple[int, int] | None) -> str:
    """(height, width) as text in which the order is explicit. None: any size."""
    if shape is None:
        return "dynamic"
    found = Shape(*shape)
    return f"{found} ({found.in_words})"


def precisions(text: str) -> list[Precision]:
    """A comma-separated list of precisions, without duplicates.

    Raises:
        InputError: the list is empty or has an unknown precision.
    """
    known = {name: name for name in get_args(Precision)}
    names = split(text)
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"there is no precision {unknown[0]!r}", f"Choose from {', '.join(known)}.")
    if not names:
        raise InputError("no precision was named", f"Choose from {', '.join(known)}.")
    return [known[name] for name in names]


def assignments(texts: list[str], option: str) -> dict[str, str]:
    """Values by name, from `NAME=VALUE`.

    Raises:
        InputError: one of them has another form, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option} {text!r} is not NAME=VALUE", "Write for example image_range=255.")
        if name in found:
            raise InputError(f"{option}: {name} is given twice")
        found[name] = value
    return found


def share(text: str, option: str) -> float:
    """A share written as a percentage or a fraction: `5%` or `0.05`.

    Raises:
        InputError: it is neither.
    """
    number = text.strip()
    try:
        return float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError as error:
        raise InputError(f"{option} {text!r} is not a percentage", "Write 5% or 0.05.") from error


def cpu_numbers(text: str | None) -> list[int]:
    """CPU numbers in the form `0-3,8`.

    Raises:
        InputError: the text has another form.
    """
    found: list[int] = []
    for part in split(text):
        first, _, last = part.partition("-")
        try:
            found += range(int(first), int(last or first) + 1)
        except ValueError as error:
            raise InputError(f"--cpus {text!r} is not a list of CPUs", "Write 0-3,8.") from error
    return found
