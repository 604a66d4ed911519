"""Turns measurements of cells into reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from toolkit.checks import SIMULATED
from toolkit.errors import InputError
from toolkit.graph.analysis.work import Work
from toolkit.precisions import FULL_PRECISION
from toolkit.profiling.measuring.builds import Build
from toolkit.profiling.measuring.roofline import roofline, work_of
from toolkit.profiling.measuring.schedule import Measurement
from toolkit.profiling.measuring.statistics import Interval, independent_ratio, paired_ratio, summarise
from toolkit.profiling.plan import CellPlan
from toolkit.profiling.reporting.report import CellReport, ColdStart, Memory, Throughput, WarmUp
from toolkit.runtimes.registry import BASELINE
from toolkit.runtimes.reported import LayerTime, Stages
from toolkit.system.hardware import Ceiling


@dataclass
class Extras:
    """Results of a cell other than frame times, each with a note why it is missing."""

    throughput: Throughput | None = None
    throughput_note: str = ""
    layers: list[LayerTime] = field(default_factory=list)
    layers_note: str = ""
    builds: tuple[Build, ...] = ()
    builds_note: str = ""


class Works:
    """Work (multiply-adds and bytes) of graphs on runtimes, each counted once."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str, str], Work | None] = {}

    def of(self, cell: CellPlan) -> Work | None:
        """Work of a cell; None if its graph is missing or shapes cannot be inferred."""
        if cell.artifact is None:
            return None
        key = cell.runtime, cell.artifact.manifest.onnx_sha256, str(cell.workload.shape)
        if key not in self._counted:
            try:
                self._counted[key] = work_of(cell.runtime, cell.artifact, cell.workload.shape)
            except InputError:
                self._counted[key] = None
        return self._counted[key]


def planned_report(cell: CellPlan) -> CellReport:
    """The report of a cell that was not measured yet."""
    manifest = cell.manifest
    return CellReport(
        runtime=cell.runtime,
        workload=cell.workload.name,
        precision=cell.precision,
        artifact=cell.name,
        io="" if manifest is None else f"{manifest.input.dtype} {manifest.input.layout}",
        sha256="" if manifest is None else manifest.onnx_sha256,
        reason=cell.obstacle,
        finished=bool(cell.obstacle),
        spent=_spent(cell),
        is_engine=cell.engine is not None,
    )


def cell_report(
    cell: CellPlan, result: Measurement, extras: Extras, work: Work | None, ceilings: Sequence[Ceiling]
) -> CellReport:
    """The report of a cell that is finished or still being measured; without speed-up."""
    report = planned_report(cell)
    if result.failure:
        return msgspec.structs.replace(report, reason=result.failure, finished=True)
    if result.opened is None or not result.blocks:
        return report
    opened, statistics = result.opened, summarise(result.times)
    before_load = result.start_seconds - opened.load_seconds - opened.first_seconds
    weights = work.weight_bytes if work else 0 if cell.manifest is None else cell.manifest.onnx_bytes
    here = [ceiling for ceiling in ceilings if ceiling.device == result.device]
    return msgspec.structs.replace(
        report,
        finished=result.finished,
        statistics=statistics,
        frames_per_second=1 / statistics.median,
        throughput=extras.throughput,
        throughput_note=extras.throughput_note,
        stages=_median_stages(result.stages),
        executed=result.executed if result.finished else None,
        cold_start=ColdStart(before_load, opened.load_seconds, opened.first_seconds, result.steady_seconds),
        warm_up=WarmUp(len(result.warm_up), sum(result.warm_up), result.steady),
        memory=Memory(result.peak_bytes, opened.resident_before, opened.resident_loaded, weights, result.device_bytes)
        if result.finished
        else None,
        conditions=result.conditions,
        work=work,
        roofline=roofline(work, result.executed, statistics.median, here) if work and result.finished else None,
        layers=tuple(extras.layers),
        layers_note=extras.layers_note,
        builds=extras.builds,
        builds_note=extras.builds_note,
        blocks=tuple(result.blocks),
    )


def with_speed_ups(cells: Sequence[CellPlan], reports: Sequence[CellReport]) -> list[CellReport]:
    """Add each cell's speed-up over the baseline of its network and workload."""
    baselines = {
        cell.network: report
        for cell, report in zip(cells, reports, strict=True)
        if (cell.runtime, cell.precision) == (BASELINE, FULL_PRECISION) and report.statistics is not None
    }
    return [
        _with_speed_up(cell, report, baselines.get(cell.network)) for cell, report in zip(cells, reports, strict=True)
    ]


def _with_speed_up(cell: CellPlan, report: CellReport, baseline: CellReport | None) -> CellReport:
    if report.statistics is None:
        return report
    if baseline is not None:
        ratio, interval = speed_up(baseline, report)
        return msgspec.structs.replace(report, speed_up=ratio, speed_up_interval=interval)
    if cell.engine is not None and cell.artifact is None:
        origin = f"{cell.engine.info.artifact}.onnx"
        return msgspec.structs.replace(
            report, note=f"no speed-up: {origin}, which the baseline needs, is not next to the engine"
        )
    return report


def speed_up(baseline: CellReport, cell: CellReport) -> tuple[float, Interval | None]:
    """Speed-up of a cell over a baseline of the same run, with its 95 % interval.

    Paired by rounds. Cells that share no round, because they did not fit into memory together, are compared as
    independent measurements.
    """
    theirs, ours = ({block.round: block.seconds for block in report.blocks} for report in (baseline, cell))
    common = sorted(theirs.keys() & ours.keys())
    if not common:
        return independent_ratio(baseline.times, cell.times)
    return paired_ratio([theirs[number] for number in common], [ours[number] for number in common])


def _median_stages(stages: Sequence[Stages]) -> Stages | None:
    if not stages:
        return None
    return Stages(*(float(np.median(part)) for part in zip(*map(msgspec.structs.astuple, stages), strict=True)))


def _spent(cell: CellPlan) -> float | None:
    """Share of the gain over bicubic that the precision loses: measured on this runtime, else simulated; 0 for fp32."""
    if cell.precision == FULL_PRECISION:
        return 0.0
    if cell.manifest is None:
        return None
    verdict = cell.manifest.verdict_on(cell.runtime) or cell.manifest.verdict_on(SIMULATED)
    return None if verdict is None or verdict.spent is None else verdict.spent.mean
