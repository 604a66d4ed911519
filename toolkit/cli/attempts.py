"""Several inputs or results of one command: what fails is reported, and the others are done."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import toolkit
from toolkit.cli.console import err, styled
from toolkit.errors import described

Made = TypeVar("Made")


@dataclass(frozen=True)
class Failed:
    """Something that could not be done, and why.

    Attributes:
        subject: what it was.
        error: the reason.
        remedy: what to do; may be empty.
        traceback: of an exception that the toolkit did not raise on purpose; else empty.
    """

    subject: str
    error: str
    remedy: str = ""
    traceback: str = ""
    passed: bool = False


@dataclass
class Attempts:
    """What became of each.

    Attributes:
        alone: there is one only, whose error is raised as it is.
        done: how many went well.
        failed: the others.
    """

    alone: bool = False
    done: int = 0
    failed: list[Failed] = field(default_factory=list)
    _codes: set[int] = field(default_factory=set)

    def attempt(self, subject: str, work: Callable[[], Made]) -> Made | None:
        """The result of `work`; None where it failed, which is shown on standard error."""
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
        """Note a failure."""
        known = isinstance(error, toolkit.ToolkitError)
        trace = "" if known else "".join(traceback.format_exception(error))
        remedy = error.remedy if isinstance(error, toolkit.ToolkitError) else ""
        failed = Failed(subject, described(error), remedy, trace)
        self.failed.append(failed)
        self._codes.add(error.exit_code if isinstance(error, toolkit.ToolkitError) else toolkit.CheckFailed.exit_code)
        err.print(styled("[bold red]FAILED[/] {}: {}", subject, failed.error), soft_wrap=True)
        for line in filter(None, (remedy, trace)):
            err.print(styled("  {}", line), soft_wrap=True)

    def exit(self) -> None:
        """End the command where something failed: with 1, or with the only code of all where nothing was done."""
        if not self.failed:
            return
        alike = not self.done and len(self._codes) == 1
        raise SystemExit(min(self._codes) if alike else toolkit.CheckFailed.exit_code)
