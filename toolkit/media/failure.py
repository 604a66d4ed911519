"""Errors as values that can be sent between processes, and their reports."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from toolkit.errors import InputError, OutputExists, ToolkitError, UnexpectedError, described
from toolkit.media.item import Item
from toolkit.media.report import FileReport

Made = TypeVar("Made")


@dataclass(frozen=True)
class Failure:
    """An error as a value: exceptions of libraries cannot always be pickled, and lose their traceback.

    Attributes:
        error: message for the user.
        traceback: of the original exception, as Python prints it.
    """

    error: ToolkitError
    traceback: str

    @classmethod
    def of(cls, error: Exception, source: Path) -> Failure:
        """The failure for an exception that was raised while `source` was processed."""
        explanation = explained(error, source)
        if explanation is not error:
            explanation.__cause__ = error
        return cls(explanation, "".join(traceback.format_exception(error)))

    @property
    def unexpected(self) -> bool:
        return isinstance(self.error, UnexpectedError)

    def reraise(self) -> NoReturn:
        """Raise the error, with the original traceback as its cause, since pickling loses it."""
        if self.error.__traceback__ is None and self.error.__cause__ is None:
            self.error.__cause__ = WorkerTraceback(f"\n{self.traceback}")
        raise self.error


class WorkerTraceback(Exception):
    """Text of a traceback from another process, shown as the cause of an error."""


def attempt(source: Path, work: Callable[[], Made]) -> Made | Failure:
    """The result of `work`, or its failure. KeyboardInterrupt and SystemExit concern all files, and are raised."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001  (any failure of one file must not end the others)
        return Failure.of(error, source)


def explained(error: Exception, source: Path) -> ToolkitError:
    """An error that names the file and what to do.

    Returns:
        The same error if it is a ToolkitError; InputError for errors of the operating system and a lack of memory;
        UnexpectedError for all others.
    """
    if isinstance(error, ToolkitError):
        return error
    if isinstance(error, MemoryError):
        return InputError(f"{source}: there is not enough memory", "Reduce --memory or --jobs, or use smaller inputs.")
    # PyAV's errors are subclasses of OSError too, but do not come from the operating system.
    if isinstance(error, OSError) and type(error).__module__ == "builtins" and error.strerror:
        where = f" ({error.filename})" if error.filename and str(error.filename) != str(source) else ""
        return InputError(
            f"{source}: {error.strerror}{where}", "Check that it can be read and that the disk is not full."
        )
    return UnexpectedError(
        f"{source}: {described(error)}",
        "This is a bug in the toolkit or in a library that it uses. --verbose shows the traceback: please report it.",
    )


def not_done(item: Item, failure: Failure) -> FileReport:
    """The report of a file that failed, or whose output exists."""
    error, message = failure.error, str(failure.error.args[0])
    if isinstance(error, OutputExists):
        output = str(item.output)
        return FileReport(str(item.source), output, item.kind, "exists", error=message, remedy=error.remedy)
    return FileReport(
        source=str(item.source),
        output="",
        kind=item.kind,
        outcome="failed",
        error=message,
        remedy=error.remedy,
        traceback=failure.traceback,
    )
