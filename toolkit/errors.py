"""Errors a person can act on: what happened, where, and what to do. Each kind has the command line's exit code."""

from __future__ import annotations

from typing import ClassVar


class ToolkitError(Exception):
    """Base of everything the toolkit raises on purpose.

    Attributes:
        remedy: what the reader can do about it; may be empty.
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
