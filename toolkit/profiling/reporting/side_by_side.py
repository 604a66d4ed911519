"""Compares several reports, of different machines or dates, configuration by configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import InputError
from toolkit.profiling.measuring.statistics import Interval, independent_ratio
from toolkit.profiling.reporting.reading import read_report
from toolkit.profiling.reporting.report import CellReport, ProfileReport


@dataclass(frozen=True)
class TitledReport:
    """A report and its title."""

    title: str
    report: ProfileReport


@dataclass(frozen=True)
class Row:
    """One configuration in every report; None if it is missing or was not measured.

    `ratios` are medians divided by that of the first report that measured it, with 95 % intervals that include the
    noise of both; None for that report itself.
    """

    workload: str
    artifact: str
    name: str
    cells: tuple[CellReport | None, ...]
    ratios: tuple[tuple[float, Interval | None] | None, ...]


def read_titled(paths: Sequence[Path]) -> list[TitledReport]:
    """Read reports and title them by their file names, with directories if file names are not unique.

    Raises:
        InputError: a file is not a report, or boundaries differ.
    """
    unique = len({path.stem for path in paths}) == len(paths)
    reports = [TitledReport(path.stem if unique else str(path.with_suffix("")), read_report(path)) for path in paths]
    boundaries = {titled.report.boundary for titled in reports}
    if len(boundaries) > 1:
        raise InputError(f"the reports have different boundaries: {', '.join(sorted(boundaries))}")
    return reports


def side_by_side(reports: Sequence[TitledReport]) -> list[Row]:
    """One row per configuration that any report measured, in order of first appearance."""
    tables = [{cell.key: cell for cell in titled.report.cells if cell.statistics is not None} for titled in reports]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = []
    for key in keys:
        cells = tuple(table.get(key) for table in tables)
        first = next(cell for cell in cells if cell is not None)
        ratios = tuple(
            None if cell is None or cell is first else independent_ratio(cell.times, first.times) for cell in cells
        )
        rows.append(Row(first.workload, first.artifact, first.name, cells, ratios))
    return rows
