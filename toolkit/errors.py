"""Errors a person can act on: what happened, where, and what to do. Each kind has the command line's exit code."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class ToolkitError(Exception):
    """Base of everything the toolkit raises on purpose.

    The message is one line: a line break in it, as of a file's name, is shown as an escape.

    Attributes:
        remedy: what the reader can do about it; may be empty, or have several lines.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  {self.remedy}" if self.remedy else message


class InputError(ToolkitError):
    """Bad usage or bad input: a file that is not what it should be, a value out of range."""


class OutputExists(InputError):
    """A file with the name of the output is there already, and was not to be overwritten."""

    def __init__(self, message: str, remedy: str = "Name another output, or give --overwrite to replace it.") -> None:
        super().__init__(message, remedy)


class CheckpointError(InputError):
    """A file that is not a usable RT4KSR checkpoint."""


class ArtifactError(InputError):
    """An ONNX artifact or manifest that is missing, malformed, or does not match its other half."""


class CheckFailed(ToolkitError):
    """A proof, check, budget or gate did not hold."""

    exit_code = 1


class Unavailable(ToolkitError):
    """The runtime or hardware that was asked for is not available here. Never answered with a fallback."""

    exit_code = 3


class UnexpectedError(ToolkitError):
    """An exception that nobody foresaw, from the toolkit or from a library, while one input was worked on.

    Its exit code is 1, as of every run that was started correctly and did not end well. It is not 2: nothing shows that
    the input is bad, and another command line would not help.
    """

    exit_code = 1


def described(error: Exception) -> str:
    """One line about an exception: a ToolkitError's message, of others the class too."""
    return str(error.args[0]) if isinstance(error, ToolkitError) else f"{type(error).__name__}: {error}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """A remedy for an unknown name: the nearest known ones first, then all of them."""
    names = list(known)
    near = get_close_matches(name, names, 3)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}Choose from {', '.join(names)}."


class Inconclusive(ToolkitError):
    """A gate could not tell: the measurements are too noisy, or too few, for either answer."""

    exit_code = 4
