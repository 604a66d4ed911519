"""Checks the values of a report: JSON of the right types may still hold values that cannot have been measured."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from toolkit.profiling.measuring.statistics import DEADLINES, Statistics
from toolkit.profiling.reporting.report import CellReport, ProfileReport

_LARGEST = 1e18
"""Larger than any count, rate, time or size; its squares and ratios are still finite floats."""

_SHORTEST = 1e-9
"""Shortest plausible frame time in seconds."""

_SIGNED = frozenset({"spent", "gpu_celsius"})
"""Fields that may be negative."""


def invalid_value(report: ProfileReport) -> str:
    """The first value of a report that cannot have been measured, with its path; empty if all are valid."""
    return next(_invalid(report), "")


def _invalid(report: ProfileReport) -> Iterator[str]:
    yield from _numbers(msgspec.to_builtins(report), "report", signed=False)
    for number, cell in enumerate(report.cells):
        yield from _cell(cell, f"cells[{number}]")
    for number, ceiling in enumerate(report.ceilings):
        if min([ceiling.bytes_per_second, *ceiling.multiply_adds_per_second.values()]) <= 0:
            yield f"ceilings[{number}] has a rate of 0"


def _numbers(value: object, where: str, *, signed: bool) -> Iterator[str]:
    """Numbers out of range, at any depth."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(item, f"{where}.{name}", signed=signed or name in _SIGNED)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{where}[{index}]", signed=signed)
    elif isinstance(value, int | float) and not -_LARGEST <= value <= _LARGEST:
        yield f"{where} is out of range"
    elif isinstance(value, int | float) and value < 0 and not signed:
        yield f"{where} is {value:g}, below 0"


def _cell(cell: CellReport, where: str) -> Iterator[str]:
    if cell.statistics is not None:
        yield from _times(cell, cell.statistics, where)
    for build in cell.builds:
        if build.median < _SHORTEST:
            yield f"{where} has a build with a median of {build.median:g} s"
    for ratio in (cell.speed_up, cell.frames_per_second):
        if ratio is not None and ratio <= 0:
            yield f"{where} has a speed of {ratio:g}"
    if cell.work is not None and cell.roofline is not None and not (cell.work.least_bytes and cell.work.multiply_adds):
        yield f"{where} has a roofline, and no work"


def _times(cell: CellReport, times: Statistics, where: str) -> Iterator[str]:
    if times.median < _SHORTEST:
        yield f"{where}.statistics.median is {times.median:g} s"
    if len(times.deadlines) != len(DEADLINES):
        yield f"{where}.statistics has {len(times.deadlines)} deadlines, not {len(DEADLINES)}"
    if not cell.seconds or not all(block.seconds for block in cell.blocks):
        yield f"{where} has statistics, and blocks without frames"
    elif min(cell.seconds) < _SHORTEST:
        yield f"{where} has a frame of {min(cell.seconds):g} s"
