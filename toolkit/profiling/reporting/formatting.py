"""Text forms of values in tables, pages and charts of profiles."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.profiling.measuring.statistics import Interval
from toolkit.profiling.reporting.report import CellReport, ProfileReport

NONE = "–"
"""Shown for a value that was not measured."""


def summary(report: ProfileReport) -> str:
    """One line about a report: machine, threads, boundary and date."""
    here = report.environment
    machine = f"{here.processor}, {report.threads} of {here.processors} CPU threads"
    gpu = f", {here.gpu}" if here.gpu else ""
    return f"{machine}{gpu}; boundary {report.boundary}; {report.begun[:10]}"


def milliseconds(seconds: float | None) -> str:
    """With one decimal, or three below 10 ms."""
    return NONE if seconds is None else f"{1000 * seconds:.{1 if seconds >= 0.01 else 3}f}"


def interval_text(interval: Interval | None, factor: float = 1) -> str:
    """Both ends of an interval, multiplied by `factor`."""
    if interval is None:
        return NONE
    low, high = interval.low * factor, interval.high * factor
    digits = 2 if high < 10 else 1 if high < 1000 else 0
    return f"{low:.{digits}f}–{high:.{digits}f}"


def several_networks(cells: Sequence[CellReport]) -> bool:
    """Whether runtime and precision do not tell which artifact was measured, so that its name is shown, too."""
    return len({cell.artifact for cell in cells if not cell.is_engine}) > len({cell.precision for cell in cells})
