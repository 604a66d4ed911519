"""Commands with several inputs or results: failures are reported, and the others are still done."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from toolkit.cli.console import err, styled
from toolkit.errors import CheckFailed, ToolkitError, described

Made = TypeVar("Made")


@dataclass(frozen=True)
class Failed:
    """A failed input or result.

    Attributes:
        subject: its name.
        error: the reason.
        remedy: what to do about it; may be empty.
        traceback: for unexpected exceptions only; otherwise empty.
    """

    subject: str
    error: str
    remedy: str = ""
    traceback: str = ""
    passed: bool = False


@dataclass
class Attempts:
    """Outcome of each attempt.

    Attributes:
        alone: there is only one; its error is raised instead of reported.
        done: number of successes.
        failed: the failures.
    """

    alone: bool = False
    done: int = 0
    failed: list[Failed] = field(default_factory=list)
    _codes: set[int] = field(default_factory=set)

    def attempt(self, subject: str, work: Callable[[], Made]) -> Made | None:
        """The result of `work`; None if it failed, which is reported on standard error."""
        try:
            made = work()
        except Exception as error:
            if self.alone:
                raise
            self.fail(subject, error)
            return None
        self.done += 1
        return made

    def fail(self, subject: str, error: Exception) -> None:
        """Record and report a failure."""
        known = isinstance(error, ToolkitError)
        trace = "" if known else "".join(traceback.format_exception(error))
        remedy = error.remedy if isinstance(error, ToolkitError) else ""
        failed = Failed(subject, described(error), remedy, trace)
        self.failed.append(failed)
        self._codes.add(error.exit_code if isinstance(error, ToolkitError) else CheckFailed.exit_code)
        err.print(styled("[bold red]FAILED[/] {}: {}", subject, failed.error), soft_wrap=True)
        for line in filter(None, (remedy, trace)):
            err.print(styled("  {}", line), soft_wrap=True)

    def exit(self) -> None:
        """Exit if something failed: with 1, or with the common exit code of all failures if nothing succeeded."""
        if not self.failed:
            return
        alike = not self.done and len(self._codes) == 1
        raise SystemExit(min(self._codes) if alike else CheckFailed.exit_code)
