"""Errors of the toolkit: each names the thing, what is wrong and what to do, and has an exit code."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar

_MOST_NAMES = 24
"""Names that a remedy lists in full: all runtimes, for example, but not every file of a directory."""
_CLOSEST = 3
"""Names that it lists if there are more."""


class ToolkitError(Exception):
    """Base class of the errors that the toolkit raises deliberately.

    The message is one line: a line break in it, as of a file's name, is shown as an escape.

    Attributes:
        remedy: what the user can do about it; may be empty, or have several lines.

    Example:
        >>> try:
        ...     toolkit.load_session("exported/rt4ksr_x2_fp32.onnx", "openvin")
        ... except toolkit.ToolkitError as error:
        ...     print(error.exit_code, error.remedy)  # doctest: +ELLIPSIS
        2 Did you mean openvino? ...
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n  {self.remedy}" if self.remedy else message


class InputError(ToolkitError):
    """Bad usage or bad input: a file of the wrong kind, a value out of range (exit code 2).

    Example:
        >>> try:
        ...     toolkit.load_checkpoint("exported")
        ... except toolkit.InputError as error:
        ...     print(error.args[0])
        exported is a directory, not a checkpoint
    """


class OutputExists(InputError):
    """The output file exists already and overwriting was not requested."""

    def __init__(self, message: str, remedy: str = "Choose another output, or give --overwrite to replace it.") -> None:
        super().__init__(message, remedy)


class CheckpointError(InputError):
    """A file that is not a usable checkpoint."""


class UnknownNetwork(CheckpointError):
    """A sound checkpoint of no architecture that the toolkit has."""


class ArtifactError(InputError):
    """An ONNX artifact or manifest that is missing or malformed, or two that do not belong together."""


class CheckFailed(ToolkitError):
    """A proof, check, budget or gate failed (exit code 1).

    Example:
        >>> toolkit.CheckFailed.exit_code
        1
    """

    exit_code = 1


class Unavailable(ToolkitError):
    """The requested runtime or hardware is not available here (exit code 3). There is no fallback.

    Example:
        >>> toolkit.Unavailable.exit_code
        3
    """

    exit_code = 3


class UnexpectedError(ToolkitError):
    """An unexpected exception, from the toolkit or a library, while one input was processed.

    Its exit code is 1, as for every run that was started correctly and failed. It is not 2: nothing shows that the
    input is bad, and another command line would not help.
    """

    exit_code = 1


def described(error: Exception) -> str:
    """One line that describes an exception: the message of a ToolkitError, class and message of others."""
    return str(error.args[0]) if isinstance(error, ToolkitError) else f"{type(error).__name__}: {error}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """A remedy for an unknown name: the most similar known names, then all of them unless they are many."""
    names = list(known)
    if len(names) > _MOST_NAMES:
        closest = get_close_matches(name, names, _CLOSEST, cutoff=0)
        return f"The most similar of {len(names)} names: {', '.join(closest)}."
    near = get_close_matches(name, names, 3)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}Choose from {', '.join(names)}."


class Inconclusive(ToolkitError):
    """A gate cannot decide, because the measurements are too noisy or too few (exit code 4).

    Example:
        >>> toolkit.Inconclusive.exit_code
        4
    """

    exit_code = 4
