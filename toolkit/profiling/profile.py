"""`toolkit profile`: plan the cells, measure them, put the numbers together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact, Manifest, Precision
from toolkit.errors import CheckFailed, InputError
from toolkit.kinds import ENGINE_SUFFIX
from toolkit.profiling.measuring.builds import measure_builds
from toolkit.profiling.measuring.client import CellFailed, Worker
from toolkit.profiling.measuring.environment import Environment, choose_processors, environment
from toolkit.profiling.measuring.messages import Boundary, Open
from toolkit.profiling.measuring.nvidia import open_nvidia
from toolkit.profiling.measuring.roofline import ceilings as machine_ceilings
from toolkit.profiling.measuring.schedule import Measurement, Pace, measure
from toolkit.profiling.measuring.warnings import doubts
from toolkit.profiling.plan import CellPlan, default_workloads, plan
from toolkit.profiling.reporting.report import CellReport, ProfileReport, Settings, Throughput
from toolkit.profiling.reporting.results import Extras, Works, cell_report, planned_report, with_speed_ups
from toolkit.profiling.resume import Journal, earlier_measurements
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.protocol import check_threads
from toolkit.runtimes.registry import RUNTIMES
from toolkit.system.atomic import check_outputs
from toolkit.system.hardware import Ceiling, usable_cpus
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import parse_workload

_MOST_STREAMS = 64
_ALL = 1 << 20
_LAYER_FRAMES = 5
_STREAM_SECONDS = 2.0


def profile(
    artifacts: Sequence[Artifact | Engine | Path | str],
    runtimes: Sequence[str] = tuple(RUNTIMES),
    workloads: Sequence[str] | None = None,
    precisions: Sequence[Precision] = ("fp32",),
    *,
    duration: float = 5.0,
    threads: int = 0,
    cpus: Sequence[int] = (),
    boundary: Boundary = "host",
    timing_precision: float = 0.02,
    cell_timeout: float = 300.0,
    streams: int = 1,
    per_layer: bool = False,
    builds: int = 1,
    roofline: bool = True,
    within_budget: bool = False,
    output: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    progress: ProgressCallback = no_progress,
) -> ProfileReport:
    """Measure runtimes side by side, each cell in a process of its own, in interleaved turns.

    Args:
        artifacts: what to run: artifacts, and engine bundles (`*.engine`). A bundle runs as it was built: its runtime,
            its precision, its size, whatever the next three say.
        runtimes: names from the registry; the unfused PyTorch baseline is always measured too.
        workloads: `720p-4k` (x3), `1080p-4k` (x2), or sizes of inputs (WIDTHxHEIGHT); default: what the artifacts
            were made for.
        precisions: as artifacts have them; PyTorch can lower the network itself.
        duration: seconds per cell, more where five frames take longer.
        threads: processor threads per cell; 0 takes all that this process may use.
        cpus: processors that cells may run on; default: as many as there are threads, one of every core first.
        boundary: what a frame time is: `compute`, `host` or `image`; see `Boundary`.
        timing_precision: a cell ends before its time when the interval of its median is narrower than this share of it.
        cell_timeout: seconds after which a cell that does not answer is ended.
        streams: measure also the throughput of so many sessions at once, which share the threads.
        per_layer: measure also the time of every layer, with the runtime's own profiler.
        builds: measure also how far so many engines of the same thing are apart, where the runtime builds engines.
        roofline: hold cells against the machine's ceilings, which are measured once and then known.
        within_budget: refuse lowered precisions whose manifests have no verdict on their quality, or a bad one.
        output: where report.json is written, now and then while measuring too, so that an interruption costs little.
        resume: go on with the report that an interrupted run of the same left there.
        overwrite: replace a report that exists there.
        command: the command line, for the report.
        progress: called before every turn of a cell.

    Raises:
        InputError: an unknown name, a value out of range, nothing to measure, or a report of something else to resume.
        OutputExists: `output` exists, and neither `resume` nor `overwrite` is given.
        ArtifactError: an artifact that does not match its manifest, or a bundle that was edited.
        CheckFailed: a precision is not within its budget, and that was demanded.
    """
    check_outputs(output, overwrite=overwrite or resume)
    asked = Settings(
        duration, threads, tuple(cpus), boundary, timing_precision, cell_timeout, streams, per_layer, builds, roofline
    )
    settings = _settled(asked)
    given = [_read(item) for item in artifacts]
    if within_budget:
        _demand_budget(
            [item.manifest for item in given if isinstance(item, Engine) or item.manifest.precision in precisions]
        )
    cells = _planned(given, runtimes, workloads, precisions)
    journal = Journal(output)
    earlier = journal.read() if resume else None
    begun = datetime.now(UTC).isoformat(timespec="seconds") if earlier is None else earlier.begun
    with journal:
        report = _Run(cells, settings, environment(), begun, command, earlier, journal.keep, progress).report()
        journal.keep(report)
    return report


@dataclass
class _Run:
    """A profile on its way."""

    cells: Sequence[CellPlan]
    settings: Settings
    here: Environment
    begun: str
    command: str
    resume: ProfileReport | None
    keep: Callable[[ProfileReport], None]
    progress: ProgressCallback
    works: Works = field(default_factory=Works)
    ceilings: tuple[Ceiling, ...] = ()
    extras: dict[int, Extras] = field(default_factory=dict)

    def report(self) -> ProfileReport:
        """Measure what is not known yet."""
        planned = [planned_report(cell) for cell in self.cells]
        known, earlier = earlier_measurements(self.resume, planned, self.settings, self.here)
        todo = [index for index, cell in enumerate(self.cells) if not cell.obstacle and known[index] is None]
        requests = [_request(self.cells[index], self.settings) for index in todo]
        if self.settings.roofline and todo:
            self.progress(Progress("measuring the machine's ceilings", 0.0))
            self.ceilings = machine_ceilings(self.here, self.settings.threads, self.settings.cpus)
        self.extras = {index: Extras() for index in todo}
        pace = Pace(self.settings.duration, self.settings.timing_precision, self.settings.cell_timeout)
        results = measure(
            requests,
            pace,
            self.progress,
            earlier=[earlier[index] for index in todo],
            keep=lambda sofar: self.keep(self._put_together(known, dict(zip(todo, sofar, strict=True)), False)),
            finish=lambda number, worker, result: self._finish(todo[number], worker, result),
            nvidia=open_nvidia()[0],
        )
        if self.settings.builds > 1:
            for index, request in zip(todo, requests, strict=True):
                extra, cell = self.extras[index], self.cells[index]
                extra.builds, extra.builds_note = measure_builds(
                    cell, request, self.settings.builds, pace, self.progress
                )
        done = dict(zip(todo, results, strict=True))
        if self._over_the_ceiling(known, done):
            self.ceilings = machine_ceilings(self.here, self.settings.threads, self.settings.cpus, again=True)
        return self._put_together(known, done, True)

    def _over_the_ceiling(self, known: Sequence[CellReport | None], results: dict[int, Measurement]) -> bool:
        """Whether a cell is faster than the machine can be: then others were at work when that was measured."""
        cells = self._put_together(known, results, True).cells
        return any(cell.roofline is not None and cell.roofline.share > 1 for cell in cells)

    def _finish(self, index: int, worker: Worker, _result: Measurement) -> None:
        """What else is asked of a cell, while its worker is warm and the others are at rest."""
        extra = self.extras[index]
        if self.settings.streams > 1:
            self.progress(Progress(f"{self.settings.streams} streams: {self.cells[index].runtime}", 1.0))
            try:
                produced = worker.concurrent(self.settings.streams, min(_STREAM_SECONDS, self.settings.duration))
                extra.throughput = Throughput(self.settings.streams, produced.frames / produced.seconds)
            except CellFailed as error:
                extra.throughput_note = error.args[0]
        if self.settings.per_layer:
            self.progress(Progress(f"layers: {self.cells[index].runtime}", 1.0))
            try:
                extra.layers = worker.layers(_LAYER_FRAMES)
            except CellFailed as error:
                extra.layers_note = error.args[0]

    def _put_together(
        self, known: Sequence[CellReport | None], results: dict[int, Measurement], complete: bool
    ) -> ProfileReport:
        reports = []
        for index, (cell, report) in enumerate(zip(self.cells, known, strict=True)):
            if report is not None:
                reports.append(report)
            elif index in results:
                work = self.works.of(cell)
                reports.append(cell_report(cell, results[index], self.extras[index], work, self.ceilings))
            else:
                reports.append(planned_report(cell))
        reports = with_speed_ups(self.cells, reports)
        warnings = doubts(self.here, self.settings, reports)
        return ProfileReport(
            self.here, self.settings, tuple(reports), self.begun, self.command, complete, warnings, self.ceilings
        )


def _settled(given: Settings) -> Settings:
    """With threads and processors as cells get them, if all can be used."""
    if not 0 < given.duration < math.inf:
        raise InputError(f"duration {given.duration} must be a positive number of seconds")
    check_threads(given.threads)
    if not 0 < given.timing_precision < 1:
        raise InputError(f"precision of timing {given.timing_precision} must be between 0 and 1, as 0.02")
    if not 0 < given.cell_timeout < math.inf:
        raise InputError(f"cell timeout {given.cell_timeout} must be a positive number of seconds")
    if not 1 <= given.streams <= _MOST_STREAMS:
        raise InputError(f"streams {given.streams} must be 1 to {_MOST_STREAMS}")
    if not 1 <= given.builds <= _MOST_STREAMS:
        raise InputError(f"builds {given.builds} must be 1 to {_MOST_STREAMS}")
    usable = choose_processors(_ALL)
    if usable and (wrong := set(given.cpus) - set(usable)):
        raise InputError(f"processor {min(wrong)} is none that this process may use", f"Choose from {usable}.")
    threads = given.threads or len(given.cpus) or usable_cpus()
    return msgspec.structs.replace(given, threads=threads, cpus=given.cpus or choose_processors(threads))


def _planned(
    given: Sequence[Artifact | Engine],
    runtimes: Sequence[str],
    workloads: Sequence[str] | None,
    precisions: Sequence[Precision],
) -> list[CellPlan]:
    loaded = [item for item in given if isinstance(item, Artifact)]
    engines = [item for item in given if isinstance(item, Engine)]
    if workloads is None or (engines and not loaded):
        jobs = default_workloads(loaded)
    else:
        jobs = [parse_workload(name) for name in workloads]
    cells = plan(loaded, runtimes, jobs, precisions, engines)
    if not cells:
        raise InputError("there is nothing to measure", "Name at least one runtime, workload and precision.")
    return cells


def _read(item: Artifact | Engine | Path | str) -> Artifact | Engine:
    if isinstance(item, Artifact | Engine):
        return item
    path = Path(item)
    return Engine.read(path) if path.suffix == ENGINE_SUFFIX else Artifact.read(path)


def _demand_budget(manifests: Sequence[Manifest]) -> None:
    """Nobody is tempted by the speed of what looks worse than it may."""
    for manifest in manifests:
        if manifest.precision == "fp32":
            continue  # what the others are held against
        remedy = "Measure it: `toolkit evaluate --data IMAGES --budget --record`, or tune it: `toolkit tune`."
        if not manifest.verdicts:
            raise CheckFailed(f"{manifest.name} has no verdict on its quality", remedy)
        if over := next((verdict for verdict in manifest.verdicts if not verdict.passed), None):
            raise CheckFailed(f"{manifest.name} is not within its budget: {over}", remedy)


def _request(cell: CellPlan, settings: Settings) -> Open:
    source = cell.engine or cell.artifact
    assert source is not None  # noqa: S101  (runnable)
    return Open(
        cell.runtime,
        str(source.path),
        cell.precision,
        *cell.workload.shape.sides,
        settings.threads,
        cell.engine is not None,
        settings.boundary,
        settings.cpus,
    )
