"""Builds several engines from one artifact and measures how much their speed and output differ."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from toolkit.errors import described
from toolkit.profiling.measuring.client import Worker
from toolkit.profiling.measuring.messages import Open
from toolkit.profiling.measuring.schedule import Measurement, Pace, measure
from toolkit.profiling.measuring.statistics import Interval, median_interval
from toolkit.profiling.plan import CellPlan
from toolkit.runtimes.building import BuildingRuntime
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build, find_runtime
from toolkit.system.progress import Progress, ProgressCallback, no_progress, within


class Build(msgspec.Struct, frozen=True):
    """One of several engines built from the same artifact.

    `median` and `interval` are seconds per frame. `difference` is the largest absolute difference between its output
    and that of the first build, for the measured frame, in the output's own units.
    """

    median: float
    interval: Interval | None
    difference: float


def measure_builds(
    cell: CellPlan, request: Open, count: int, pace: Pace, progress: ProgressCallback = no_progress
) -> tuple[tuple[Build, ...], str]:
    """Build a cell's engine several times and measure the builds in interleaved turns.

    Each build goes to its own directory, so none reuses the timing cache of another.

    Args:
        cell: the cell, with an artifact.
        request: the cell's request; each build replaces the artifact in it.
        count: number of engines.
        pace: how long each build is measured.
        progress: called as engines are built and measured.

    Returns:
        The builds and an empty note; or no builds and the reason, if the runtime builds no engines or one failed.
    """
    if cell.artifact is None or cell.engine is not None or not isinstance(find_runtime(cell.runtime), BuildingRuntime):
        return (), "builds no engines"
    with tempfile.TemporaryDirectory(prefix="builds-") as place:
        requests, outputs = [], [Path(place) / f"output{index}.npy" for index in range(count)]
        for index in range(count):
            progress(Progress(f"{cell.runtime}: build {index + 1} of {count}", index / count / 2))
            directory = Path(place) / str(index)
            try:
                engine = build(cell.artifact, cell.runtime, _options(cell, request), directory).engine
            except Exception as error:  # noqa: BLE001  (builders raise anything, and the other cells go on)
                return (), described(error)
            requests.append(msgspec.structs.replace(request, path=str(engine.path)))

        def save(index: int, worker: Worker, _result: Measurement) -> None:
            worker.save(outputs[index])

        results = measure(requests, pace, within(progress, 0.5, 1), finish=save)
        if failure := next((result.failure for result in results if result.failure), ""):
            return (), failure
        return tuple(_builds(results, [np.load(path) for path in outputs])), ""


def _options(cell: CellPlan, request: Open) -> BuildOptions:
    runtime = find_runtime(cell.runtime)
    takes_threads = isinstance(runtime, BuildingRuntime) and "threads" in runtime.options
    fixed = cell.artifact is not None and cell.artifact.manifest.shape is not None
    return BuildOptions(None if fixed else cell.workload.shape, threads=request.threads if takes_threads else 0)


def _builds(
    results: Sequence[Measurement], outputs: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]
) -> list[Build]:
    first = outputs[0].astype(np.float64)
    return [
        Build(
            median=float(np.median(result.seconds)),
            interval=median_interval(result.times),
            difference=float(np.abs(output.astype(np.float64) - first).max()),
        )
        for result, output in zip(results, outputs, strict=True)
    ]
