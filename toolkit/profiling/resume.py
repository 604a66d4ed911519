"""Resumes an interrupted profile from its report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from toolkit.errors import InputError
from toolkit.profiling.measuring.environment import Environment
from toolkit.profiling.measuring.schedule import Measurement
from toolkit.profiling.options import ProfileOptions
from toolkit.profiling.reporting.reading import read_report
from toolkit.profiling.reporting.report import CellReport, ProfileReport
from toolkit.system.atomic import release, reserve, write_bytes

_KEEP_SECONDS = 10.0
"""Seconds between two writes of an unfinished report."""

_REMEDY = "Remove --resume to measure from the start, or choose another --output."


def check_report_name(path: Path | None) -> None:
    """Raise InputError if a report is not named as a JSON file: `-o rep` would write a file that nothing recognises."""
    if path is not None and path.suffix.lower() != ".json":
        raise InputError(f"the report {path} must be a .json file", f"Use --output {path.with_suffix('.json')}.")


class Journal:
    """Writes the report during a measurement; a context manager that writes the latest state on exit."""

    def __init__(self, path: Path | None, *, new: bool) -> None:
        """
        Args:
            path: report.json; None: nothing is written.
            new: the report must not exist yet. Its name is reserved on entry, so that no other run can take it.
        """
        self._path, self._new = path, new
        self._latest: ProfileReport | None = None
        self._written = time.monotonic()

    def read(self) -> ProfileReport:
        """The report of an earlier run.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        if self._path is None or not self._path.is_file():
            raise InputError(f"there is no report to resume: {self._path}", "Remove --resume.")
        return read_report(self._path)

    def keep(self, report: ProfileReport) -> None:
        """Store the latest state, and write it if the last write was some time ago."""
        self._latest = report
        if time.monotonic() - self._written > _KEEP_SECONDS:
            self._write()

    def __enter__(self) -> Journal:
        if self._path is not None and self._new:
            reserve(self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._write()
        if self._path is not None:
            release(self._path)

    def _write(self) -> None:
        if self._path is not None and self._latest is not None:
            write_bytes(self._path, self._latest.to_json().encode())
            self._written = time.monotonic()


def earlier_measurements(
    report: ProfileReport | None, planned: Sequence[CellReport], settings: ProfileOptions, here: Environment
) -> tuple[list[CellReport | None], list[Measurement | None]]:
    """For each planned cell, its report if it was finished, and its measurement so far if it was not.

    Cells that failed are measured again.

    Raises:
        InputError: the report is of other configurations, settings, machine or package versions.
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


def _demand_same(
    report: ProfileReport, planned: Sequence[CellReport], settings: ProfileOptions, here: Environment
) -> None:
    if [(cell.key, cell.sha256) for cell in report.cells] != [(cell.key, cell.sha256) for cell in planned]:
        raise InputError("the report to resume has other configurations than those requested", _REMEDY)
    for name in ("boundary", "threads", "cpus"):
        then, now = getattr(report.settings, name), getattr(settings, name)
        if then != now:
            raise InputError(f"the report to resume was measured with {name} {then}, not {now}", _REMEDY)
    for name in ("processor", "processors", "gpu", "gpu_driver", "packages"):
        then, now = getattr(report.environment, name), getattr(here, name)
        if then != now:
            raise InputError(
                f"the report to resume was measured on another machine or with other software: {name} differs", _REMEDY
            )
