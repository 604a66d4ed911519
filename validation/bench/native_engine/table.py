"""The table that is printed: what frame times are compared with, and what is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from native_engine.cells import Cell
from native_engine.peak import Peak

from toolkit.graph.analysis.work import Work
from toolkit.native.targets import find_target
from toolkit.precisions import Precision
from toolkit.profiling.measuring.roofline import roofline
from toolkit.profiling.measuring.schedule import Measurement

HEADER = "precision  threads  compared with                 time  least  wanted   peak memory   frames"
SHARE = 0.60
"""Of the bound, at least."""
MEGABYTE = 1 << 20

Wanted = Mapping[tuple[str, str], float]
"""Largest ratio of our time to that of a runtime, by its name and the precision."""


def wanted_of_own() -> Wanted:
    """For RT4KSR."""
    target = find_target("native")
    wanted = {("openvino", "fp32"): 0.55, ("ort-cpu", "fp32"): 0.45, ("openvino", "bf16"): 0.58}
    if "int8" in target.fast:
        wanted["openvino", "int8"] = 0.30
    if target.tiles:
        wanted["openvino", "bf16"] = 0.20
    return wanted


def wanted_of_others(threads: int) -> Wanted:
    """For other networks, whose goals are for two threads."""
    if threads != 2:
        return {}
    wanted = {("openvino", "fp32"): 0.60, ("ort-cpu", "fp32"): 0.60}
    return wanted | {("openvino", "bf16"): 0.40} if find_target("native").tiles else wanted


def rows(
    measured: Mapping[Cell, Measurement],
    works: Mapping[Precision, Work],
    peak: Peak,
    wanted: Wanted,
    *,
    default: Sequence[float] = (),
) -> list[str]:
    """A line for each cell; `default`: seconds of `DefaultOpenVino`, which counts as bf16.

    `works`: of the engine, by precision.
    """
    lines = []
    for cell, found in measured.items():
        ours = measured[Cell("native", cell.precision, cell.threads)]
        if cell.runtime == "native":
            lines += _bound(cell, ours, works[cell.precision], peak)
            if cell.precision == "bf16" and default and not ours.failure:
                ratios = _ratios(ours.seconds, default)
                lines.append(_line(cell, "openvino, no hints", ratios, wanted.get(("openvino", "bf16"))))
        else:
            lines.append(_compared(cell, ours, found, wanted))
    return lines


def _bound(cell: Cell, ours: Measurement, work: Work, peak: Peak) -> list[str]:
    """Shares of the roofline: from medians, and from the shortest time and the highest rates."""
    if ours.failure:
        return [f"{cell.precision:<9}  {cell.threads:<7}  {ours.failure}"]
    pairs = ((np.median, peak.median()), (np.min, peak.best()))
    found = [roofline(work, {cell.precision: 1}, float(pick(ours.seconds)), ceiling) for pick, ceiling in pairs]
    median, least = found
    if median is None or least is None:
        return [f"{cell.precision:<9}  {cell.threads:<7}  no instructions of its own here"]
    line = _line(cell, f"bound by {median.limited_by}", (median.share, least.share), SHARE, share=True)
    moved = work.least_bytes / peak.median()[0].bytes_per_second / float(np.median(ours.seconds))
    return [f"{line}  ({work.least_bytes / MEGABYTE:.0f} MB a frame at the speed of memory: {moved:.1%} of the time)"]


def _compared(cell: Cell, ours: Measurement, theirs: Measurement, wanted: Wanted) -> str:
    if ours.failure or theirs.failure:
        return f"{cell.precision:<9}  {cell.threads:<7}  {cell.runtime}: {ours.failure or theirs.failure}"
    what = f"{cell.runtime} ({'+'.join(sorted(theirs.executed))})"
    line = _line(cell, what, _ratios(ours.seconds, theirs.seconds), wanted.get((cell.runtime, cell.precision)))
    bytes_ = f"{ours.peak_bytes / MEGABYTE:.0f} of {theirs.peak_bytes / MEGABYTE:.0f} MB"
    return f"{line}  {bytes_:>13}  {f'{len(ours.seconds)}, {len(theirs.seconds)}':>7}"


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    return float(np.median(ours) / np.median(theirs)), min(ours) / min(theirs)


def _line(cell: Cell, what: str, found: tuple[float, float], wanted: float | None, *, share: bool = False) -> str:
    def text(value: float) -> str:
        return f"{value:.0%}" if share else f"{value:.2f}"

    goal = "" if wanted is None else text(wanted)
    return f"{cell.precision:<9}  {cell.threads:<7}  {what:<27} {text(found[0]):>6} {text(found[1]):>6}  {goal:>6}"
