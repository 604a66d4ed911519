"""`toolkit profile`: plans the cells, measures them, and assembles the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from toolkit.artifact import Artifact
from toolkit.errors import CheckFailed, InputError
from toolkit.kinds import split_runtime
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.profiling.measuring.builds import measure_builds
from toolkit.profiling.measuring.client import CellFailed, Worker
from toolkit.profiling.measuring.environment import Environment, environment
from toolkit.profiling.measuring.messages import Open
from toolkit.profiling.measuring.nvidia import open_nvidia
from toolkit.profiling.measuring.roofline import ceilings as machine_ceilings
from toolkit.profiling.measuring.schedule import Measurement, Pace, measure
from toolkit.profiling.options import ProfileOptions, resolve_options
from toolkit.profiling.plan import CellPlan, default_workloads, plan
from toolkit.profiling.reporting.report import CellReport, ProfileReport, Throughput
from toolkit.profiling.reporting.results import Extras, Works, cell_report, planned_report, with_speed_ups
from toolkit.profiling.reporting.warnings import measurement_warnings
from toolkit.profiling.resume import Journal, check_report_name, earlier_measurements
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.registry import BASELINE, RUNTIMES
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import check_outputs
from toolkit.system.hardware import Ceiling
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import parse_workload

_LAYER_FRAMES = 5
_STREAM_SECONDS = 2.0


def profile(
    artifacts: Sequence[Subject | Artifact | Engine | Path | str],
    runtimes: Sequence[str] = tuple(RUNTIMES),
    workloads: Sequence[str] | None = None,
    precisions: Sequence[Precision] = (FULL_PRECISION,),
    options: ProfileOptions | None = None,
    *,
    baseline: bool = True,
    within_budget: bool = False,
    output: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    progress: ProgressCallback = no_progress,
    notify: Callable[[str], None] = lambda _: None,
) -> ProfileReport:
    """Measure frame times of runtimes side by side.

    Each configuration (artifact, runtime, workload, precision) runs in a process of its own, and they take turns. The
    unfused PyTorch network in fp32 is measured too, unless `baseline` is false: it is the baseline of speed-ups.

    Args:
        artifacts: artifacts and engine bundles; a bundle runs as built, and a subject or `PATH@RUNTIME` on that runtime
            and in its precision, whatever `runtimes` and `precisions` say.
        runtimes: names from the registry.
        workloads: `2160p-4k` (x1) to `540p-4k` (x4), or input sizes (WIDTHxHEIGHT); default: those of the artifacts.
        precisions: precisions of artifacts; for PyTorch, precisions to convert the network to.
        options: how configurations are measured.
        baseline: measure it too, as the first of each network.
        within_budget: refuse artifacts in a lower precision than fp32 without a passed quality verdict.
        output: report.json, which is also written from time to time during the measurement.
        resume: continue the interrupted run whose report is at `output`.
        overwrite: replace an existing report.
        command: the command line, for the report.
        progress: called before every turn of a configuration.
        notify: called with a line of text before a long step that most runs do not need.

    Raises:
        InputError: an unknown name, a value out of range, nothing to measure, or a report that does not fit to resume.
        OutputExists: `output` exists, and neither `resume` nor `overwrite` is set.
        ArtifactError: an artifact does not match its manifest, or a bundle was edited.
        CheckFailed: `within_budget` is set, and an artifact has no verdict or a failed one.

    Example:
        >>> options = toolkit.ProfileOptions(duration=0.1, roofline=False)
        >>> toolkit.profile(toolkit.find_artifacts(), ["ort-cpu"], ["64x48"], options=options).complete
        True
    """
    check_report_name(output)
    check_outputs(output, overwrite=overwrite or resume)
    settings = resolve_options(options or ProfileOptions())
    given = [_read(item) for item in artifacts]
    if within_budget:
        _require_budget([subject for subject, alone in given if alone or subject.precision in precisions])
    cells = _planned(given, runtimes, workloads, precisions, baseline=baseline)
    journal = Journal(output, new=not (overwrite or resume))
    earlier = journal.read() if resume else None
    begun = datetime.now(UTC).isoformat(timespec="seconds") if earlier is None else earlier.begun
    with journal:
        run = _Run(cells, settings, environment(), begun, command, earlier, journal.keep, progress, notify)
        journal.keep(report := run.report())
    return report


@dataclass
class _Run:
    """A profile in progress."""

    cells: Sequence[CellPlan]
    settings: ProfileOptions
    here: Environment
    begun: str
    command: str
    resume: ProfileReport | None
    keep: Callable[[ProfileReport], None]
    progress: ProgressCallback
    notify: Callable[[str], None]
    works: Works = field(default_factory=Works)
    ceilings: tuple[Ceiling, ...] = ()
    extras: dict[int, Extras] = field(default_factory=dict)

    def report(self) -> ProfileReport:
        """Measure all cells that the resumed report does not have."""
        planned = [planned_report(cell) for cell in self.cells]
        known, earlier = earlier_measurements(self.resume, planned, self.settings, self.here)
        todo = [index for index, cell in enumerate(self.cells) if not cell.obstacle and known[index] is None]
        requests = [_request(self.cells[index], self.settings) for index in todo]
        if self.settings.roofline and todo:
            self._measure_ceilings()
        self.extras = {index: Extras() for index in todo}
        pace = Pace(self.settings.duration, self.settings.timing_precision, self.settings.cell_timeout)
        results = measure(
            requests,
            pace,
            self.progress,
            earlier=[earlier[index] for index in todo],
            keep=lambda sofar: self.keep(self._assembled(known, dict(zip(todo, sofar, strict=True)), False)),
            finish=lambda number, worker, _: self._measure_extras(todo[number], worker),
            nvidia=open_nvidia()[0],
        )
        if self.settings.builds > 1:
            for index, request in zip(todo, requests, strict=True):
                extra, cell = self.extras[index], self.cells[index]
                extra.builds, extra.builds_note = measure_builds(
                    cell, request, self.settings.builds, pace, self.progress
                )
        done = dict(zip(todo, results, strict=True))
        if self._exceeds_ceilings(known, done):
            self._measure_ceilings(again=True)
        return self._assembled(known, done, True)

    def _measure_ceilings(self, *, again: bool = False) -> None:
        """Read the ceilings from the cache, or measure them."""

        def notice(text: str) -> None:
            self.notify(text)
            self.progress(Progress("measuring the roofline", 0.0))

        self.ceilings = machine_ceilings(
            self.here, self.settings.threads, self.settings.cpus, again=again, notify=notice
        )

    def _exceeds_ceilings(self, known: Sequence[CellReport | None], results: dict[int, Measurement]) -> bool:
        """Whether a cell is faster than the ceilings allow: then other load slowed down their measurement."""
        cells = self._assembled(known, results, True).cells
        return any(cell.roofline is not None and cell.roofline.share > 1 for cell in cells)

    def _measure_extras(self, index: int, worker: Worker) -> None:
        """Throughput and layer times, while the cell's worker is warm and all others are idle."""
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

    def _assembled(
        self, known: Sequence[CellReport | None], results: dict[int, Measurement], complete: bool
    ) -> ProfileReport:
        """The report of all cells: known from before, measured now, or only planned."""
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
        warnings = measurement_warnings(self.here, self.settings, reports)
        return ProfileReport(
            self.here, self.settings, tuple(reports), self.begun, self.command, complete, warnings, self.ceilings
        )


def _planned(
    subjects: Sequence[tuple[Subject, bool]],
    runtimes: Sequence[str],
    workloads: Sequence[str] | None,
    precisions: Sequence[Precision],
    *,
    baseline: bool,
) -> list[CellPlan]:
    """Cells of subjects as `_read` returns them."""
    single = [subject for subject, alone in subjects if alone]
    artifacts = [subject.artifact for subject, alone in subjects if not alone and subject.artifact is not None]
    jobs = default_workloads(artifacts) if workloads is None else [parse_workload(name) for name in workloads]
    cells = plan(artifacts, runtimes, jobs, precisions, single, baseline=baseline)
    if not cells:
        raise InputError("there is nothing to measure", "Give at least one runtime, workload and precision.")
    return cells


def _read(item: Subject | Artifact | Engine | Path | str) -> tuple[Subject, bool]:
    """A subject, and whether it has a runtime of its own: an engine, or what names one."""
    subject = Subject.of_any(item, BASELINE, accepted=("artifact", "engine"))
    match item:
        case str() | Path():
            named = split_runtime(item)[1] is not None
        case _:
            named = item is subject
    return subject, named or subject.engine is not None


def _require_budget(subjects: Sequence[Subject]) -> None:
    """Raise CheckFailed unless all lowered artifacts have only passed quality verdicts, at least one."""
    for manifest in (subject.manifest for subject in subjects if subject.manifest is not None):
        if not manifest.lowered:
            continue  # the reference of all verdicts
        remedy = "Measure it: `toolkit evaluate --images PATH --within-budget --record`, or tune it: `toolkit tune`."
        if not manifest.verdicts:
            raise CheckFailed(f"{manifest.name} has no quality verdict", remedy)
        if failed := next((verdict for verdict in manifest.verdicts if not verdict.passed), None):
            raise CheckFailed(f"{manifest.name} is not within its budget: {failed}", remedy)


def _request(cell: CellPlan, settings: ProfileOptions) -> Open:
    assert cell.subject is not None  # noqa: S101  (only cells that can run are requested)
    path, shape = str(cell.subject.path), cell.workload.shape
    return Open(cell.runtime, path, cell.precision, *shape.sides, settings.threads, settings.boundary, settings.cpus)
