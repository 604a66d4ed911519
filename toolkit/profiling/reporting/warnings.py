"""Measurement warnings: conditions under which the numbers of a report are less reliable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from toolkit.profiling.measuring.environment import Environment
from toolkit.profiling.options import ProfileOptions
from toolkit.profiling.reporting.report import CellReport

_STEAL = 0.01
_FOREIGN = 0.05
_BUSY_LOAD = 0.5
_CLOCK = 0.1
_DRIFT = 0.05


def measurement_warnings(here: Environment, settings: ProfileOptions, cells: Sequence[CellReport]) -> tuple[str, ...]:
    """One line per condition that makes the measurement less reliable, with the configuration it affects most."""
    measured = [cell for cell in cells if cell.statistics is not None]
    return tuple(line for line in (*_machine(here, measured), *_cells(settings, measured)) if line)


def _machine(here: Environment, cells: Sequence[CellReport]) -> Iterator[str]:
    if here.load > _BUSY_LOAD:
        yield f"the machine was busy before the measurement: load average {here.load:.1f}"
    conditions = [cell.conditions for cell in cells if cell.conditions is not None]
    steal = max((found.steal_share or 0.0 for found in conditions), default=0.0)
    if steal > _STEAL:
        yield f"the hypervisor took up to {steal:.0%} of the CPU time (steal)"
    foreign = max((found.foreign_share or 0.0 for found in conditions), default=0.0)
    if foreign > _FOREIGN:
        yield f"other processes used up to {foreign:.0%} of the CPU time during the measurement"
    for what, ranges in (
        ("CPU", [found.megahertz for found in conditions if found.megahertz]),
        ("GPU", [found.gpu_megahertz for found in conditions if found.gpu_megahertz]),
    ):
        low, high = min((r.low for r in ranges), default=0.0), max((r.high for r in ranges), default=0.0)
        if high and low < (1 - _CLOCK) * high:
            yield f"the {what} clock varied from {low:.0f} to {high:.0f} MHz"
    if reasons := dict.fromkeys(reason for found in conditions for reason in found.slowed_by):
        yield f"the GPU clock was throttled: {', '.join(reasons)}"
    if here.governor not in {"", "performance"}:
        yield f"the CPU frequency governor is {here.governor}, not performance"


def _cells(settings: ProfileOptions, cells: Sequence[CellReport]) -> Iterator[str]:
    unsteady = [_named(cell) for cell in cells if cell.warm_up is not None and not cell.warm_up.steady]
    if unsteady:
        yield f"frame times were not steady after warm-up: {', '.join(unsteady)}"
    drifts = {_named(cell): drift for cell in cells if abs(drift := _drift(cell)) > _DRIFT}
    if drifts:
        worst = max(drifts, key=lambda name: abs(drifts[name]))
        yield (
            f"{len(drifts)} of {len(cells)} configurations drifted between the first and last third of their frames; "
            f"worst: {worst}, {drifts[worst]:+.0%}"
        )
    wide = {
        _named(cell): cell.statistics.interval.width / cell.statistics.median
        for cell in cells
        if cell.statistics is not None and cell.statistics.interval is not None
    }
    over = {name: width for name, width in wide.items() if width > settings.timing_precision}
    if over:
        worst = max(over, key=lambda name: over[name])
        yield (
            f"{len(over)} of {len(cells)} medians have a 95 % interval wider than {settings.timing_precision:.1%}; "
            f"worst: {worst}, {over[worst]:.0%}. Measure longer: --duration"
        )


def _named(cell: CellReport) -> str:
    return f"{cell.workload} {cell.name if cell.is_engine else f'{cell.artifact} on {cell.runtime}'}"


def _drift(cell: CellReport) -> float:
    """Relative change of the median block time from the first to the last third of the blocks."""
    medians = [float(np.median(block.seconds)) for block in cell.blocks]
    third = len(medians) // 3
    return float(np.median(medians[-third:]) / np.median(medians[:third])) - 1 if third else 0.0
