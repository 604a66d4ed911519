"""`toolkit profile`: plan the cells, measure them, put the numbers together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact, Manifest, Precision
from toolkit.errors import CheckFailed, InputError
from toolkit.profiling.environment import environment
from toolkit.profiling.matrix import CellPlan, default_workloads, plan
from toolkit.profiling.messages import Open
from toolkit.profiling.report import CellReport, ProfileReport
from toolkit.profiling.schedule import Advance, Measurement, measure
from toolkit.profiling.statistics import summarise
from toolkit.runtimes.engine import SUFFIX, Engine
from toolkit.runtimes.protocol import SessionOptions
from toolkit.runtimes.registry import BASELINE, RUNTIMES
from toolkit.workloads import parse_workload

_MOST_THREADS = 512


def profile(
    artifacts: Sequence[Artifact | Engine | Path | str],
    runtimes: Sequence[str] = tuple(RUNTIMES),
    workloads: Sequence[str] | None = None,
    precisions: Sequence[Precision] = ("fp32",),
    *,
    duration: float = 5.0,
    threads: int = 0,
    within_budget: bool = False,
    advance: Advance = lambda _what, _share, _left: None,
) -> ProfileReport:
    """Measure runtimes side by side, each cell in a process of its own, in interleaved turns.

    Args:
        artifacts: what to run: artifacts, and engine bundles (`*.engine`). A bundle runs as it was built: its runtime,
            its precision, its size, whatever the next three say.
        runtimes: names from the registry; the unfused PyTorch baseline is always measured too.
        workloads: `720p-4k` (x3), `1080p-4k` (x2), or sizes (`HxW`); default: what the artifacts were made for.
        precisions: as artifacts have them; PyTorch can lower the network itself.
        duration: seconds per cell, more where five frames take longer.
        threads: processor threads per cell; 0 takes all that this process may use.
        within_budget: refuse lowered precisions whose manifests have no verdict on their quality, or a bad one.
        advance: called with what is being done, the share done, and the seconds left or None.

    Raises:
        InputError: an unknown name, a duration that is not positive, or nothing to measure.
        ArtifactError: an artifact that does not match its manifest, or a bundle that was edited.
        CheckFailed: a precision is not within its budget, and that was demanded.
    """
    if not 0 < duration < math.inf:
        raise InputError(f"duration {duration} must be a positive number of seconds")
    if not 0 <= threads <= _MOST_THREADS:
        raise InputError(f"threads {threads} must be 0 (all usable) to {_MOST_THREADS}")
    given = [_read(item) for item in artifacts]
    loaded = [item for item in given if isinstance(item, Artifact)]
    engines = [item for item in given if isinstance(item, Engine)]
    if workloads is None or (engines and not loaded):
        jobs = default_workloads(loaded)
    else:
        jobs = [parse_workload(name) for name in workloads]
    if within_budget:
        _demand_budget(
            [item.manifest for item in given if isinstance(item, Engine) or item.manifest.precision in precisions]
        )
    cells = plan(loaded, runtimes, jobs, precisions, engines)
    if not cells:
        raise InputError("there is nothing to measure", "Name at least one runtime, workload and precision.")
    threads = SessionOptions(threads).resolved_threads()
    here = environment()
    runnable = [cell for cell in cells if not cell.obstacle]
    measured = dict(
        zip(map(id, runnable), measure([_request(c, threads) for c in runnable], duration, advance), strict=True)
    )
    reports = _with_speed_ups(cells, [_cell_report(cell, measured.get(id(cell))) for cell in cells])
    return ProfileReport(here, threads, duration, tuple(reports))


def _read(item: Artifact | Engine | Path | str) -> Artifact | Engine:
    if isinstance(item, Artifact | Engine):
        return item
    path = Path(item)
    return Engine.read(path) if path.suffix == SUFFIX else Artifact.read(path)


def _demand_budget(manifests: Sequence[Manifest]) -> None:
    """Nobody is tempted by the speed of what looks worse than it may."""
    for manifest in manifests:
        if manifest.precision == "fp32":
            continue  # what the others are held against
        remedy = "Measure it: `toolkit evaluate --data IMAGES --budget --record`, or tune it: `toolkit tune`."
        if not manifest.budget_checks:
            raise CheckFailed(f"{manifest.name} has no verdict on its quality", remedy)
        if over := next((check for check in manifest.budget_checks if not check.passed), None):
            measured = f"{over.name} is {over.measured:.3g}, allowed {over.bound:g}"
            raise CheckFailed(f"{manifest.name} is not within its budget: {measured}", remedy)


def _request(cell: CellPlan, threads: int) -> Open:
    source = cell.engine or cell.artifact
    assert source is not None  # noqa: S101  (runnable)
    height, width = cell.workload.shape.sides
    return Open(cell.runtime, str(source.path), cell.precision, height, width, threads, cell.engine is not None)


def _cell_report(cell: CellPlan, measurement: Measurement | None) -> CellReport:
    manifest = cell.manifest
    report = CellReport(
        runtime=cell.runtime,
        workload=cell.workload.name,
        precision=cell.precision,
        artifact=cell.name,
        io="" if manifest is None else f"{manifest.input.dtype} {manifest.input.layout}",
        reason=cell.obstacle if measurement is None else measurement.failure,
    )
    if measurement is None or measurement.failure:
        return report
    statistics = summarise(measurement.seconds)
    return msgspec.structs.replace(
        report,
        statistics=statistics,
        frames_per_second=1 / statistics.median,
        load_seconds=measurement.load_seconds,
        warm_up_frames=measurement.warm_up_frames,
        peak_bytes=measurement.peak_bytes,
        executed=measurement.executed,
        seconds=tuple(measurement.seconds),
    )


def _with_speed_ups(cells: Sequence[CellPlan], reports: Sequence[CellReport]) -> list[CellReport]:
    baselines = {
        cell.network: report.statistics.median
        for cell, report in zip(cells, reports, strict=True)
        if (cell.runtime, cell.precision) == (BASELINE, "fp32") and report.statistics is not None
    }
    return [_with_speed_up(cell, report, baselines) for cell, report in zip(cells, reports, strict=True)]


def _with_speed_up(cell: CellPlan, report: CellReport, baselines: Mapping[tuple[str, str], float]) -> CellReport:
    if report.statistics is None:
        return report
    if cell.network in baselines:
        return msgspec.structs.replace(report, speed_up=baselines[cell.network] / report.statistics.median)
    if cell.engine is not None and cell.artifact is None:
        origin = f"{cell.engine.info.artifact}.onnx"
        return msgspec.structs.replace(report, note=f"no speed-up: its {origin} is not beside it")
    return report
