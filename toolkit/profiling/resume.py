"""Going on with a profile that was interrupted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from toolkit.errors import InputError
from toolkit.profiling.measuring.environment import Environment
from toolkit.profiling.measuring.schedule import Measurement
from toolkit.profiling.reporting.report import CellReport, ProfileReport, Settings, read_report
from toolkit.system.atomic import write_bytes

_KEEP_SECONDS = 10.0
"""Between two writings of an unfinished report."""

_REMEDY = "Leave out --resume to measure anew, or name another --output."


class Journal:
    """Keeps a report in a file while it grows; a context manager that writes what is known when it is left."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._latest: ProfileReport | None = None
        self._written = time.monotonic()

    def read(self) -> ProfileReport:
        """What an earlier run left.

        Raises:
            InputError: there is nothing.
        """
        if self._path is None or not self._path.is_file():
            raise InputError(f"there is no report to resume: {self._path}", "Leave out --resume.")
        return read_report(self._path)

    def keep(self, report: ProfileReport) -> None:
        """Remember a report, and write it if the last writing is a while ago."""
        self._latest = report
        if time.monotonic() - self._written > _KEEP_SECONDS:
            self._write()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write()

    def _write(self) -> None:
        if self._path is not None and self._latest is not None:
            write_bytes(self._path, self._latest.to_json().encode())
            self._written = time.monotonic()


def earlier_measurements(
    report: ProfileReport | None, planned: Sequence[CellReport], settings: Settings, here: Environment
) -> tuple[list[CellReport | None], list[Measurement | None]]:
    """Per planned cell: its report where it was finished, and what was measured of it where it was not.

    What failed is tried again.

    Raises:
        InputError: the report is of something else.
    """
    if report is None:
        return [None] * len(planned), [None] * len(planned)
    _demand_same(report, planned, settings, here)
    finished, begun = [], []
    for cell in report.cells:
        usable = cell.statistics is not None and not cell.reason
        finished.append(cell if usable and cell.finished else None)
        begun.append(Measurement(blocks=list(cell.blocks)) if usable and not cell.finished else None)
    return finished, begun


def _demand_same(report: ProfileReport, planned: Sequence[CellReport], settings: Settings, here: Environment) -> None:
    if [(cell.key, cell.sha256) for cell in report.cells] != [(cell.key, cell.sha256) for cell in planned]:
        raise InputError("the report to resume is of other cells than those that were asked for", _REMEDY)
    for name in ("boundary", "threads", "cpus"):
        then, now = getattr(report.settings, name), getattr(settings, name)
        if then != now:
            raise InputError(f"the report to resume was made with {name} {then}, not {now}", _REMEDY)
    for name in ("processor", "processors", "gpu", "gpu_driver", "packages"):
        then, now = getattr(report.environment, name), getattr(here, name)
        if then != now:
            raise InputError(f"the report to resume was made on another machine or software: {name} differs", _REMEDY)
