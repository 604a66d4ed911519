"""`upscale`: files and folders, one after the other or by many workers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from toolkit.errors import OutputExists
from toolkit.media.failure import Failure, attempt, not_done
from toolkit.media.files import Item, Naming, find_items
from toolkit.media.models import Models
from toolkit.media.options import UpscaleOptions
from toolkit.media.pictures.upscaling import upscale_image
from toolkit.media.record import Record
from toolkit.media.report import FileReport, UpscaleReport
from toolkit.media.tasks import ImageDone, ImageTask, Result, SegmentTask, Task
from toolkit.media.upscaler import Upscaler
from toolkit.media.videos.encoder_check import check_encoder
from toolkit.media.videos.encoding import Part, VideoFormat
from toolkit.media.videos.film import Film, begin_film
from toolkit.media.videos.video import SegmentRun
from toolkit.media.workers import LocalWorkers, Workers
from toolkit.system.hardware import usable_cpus
from toolkit.system.progress import Counter, Progress, ProgressCallback, no_progress
from toolkit.system.shutdown import Shutdown, graceful_shutdown


def upscale(
    paths: Sequence[Path | str],
    output: Path | None = None,
    options: UpscaleOptions | None = None,
    *,
    suffix: str | None = None,
    progress: ProgressCallback = no_progress,
) -> UpscaleReport:
    """Upscale pictures, videos, and folders of them.

    A file that fails, for whatever reason, does not keep the others from being done; a single file's error is raised.
    An existing output is not overwritten unless the options say so. On Ctrl-C (or SIGTERM) videos are closed where they
    are, and what has been done is put into a playable file beside the output's name.

    Args:
        paths: files and folders; folders are taken recursively and their tree is kept.
        output: a file for a single file, else a folder; None: beside the input.
        options: how.
        suffix: of videos that are not named, `.mkv` for instance; None: the input's where it can be written.
        progress: called as work goes on.

    Raises:
        InputError: bad options, nothing to do, or the only file fails.
        OutputExists: the only file's output exists, and the options do not say to overwrite it.
        UnexpectedError: the only file fails for a reason that nobody foresaw, which is the cause.
        Unavailable: the runtime, PyAV or Ray is not available here.
    """
    options = options or UpscaleOptions()
    label = f"_x{options.target.scale}" if options.target.box is None else f"_{_size(options)}"
    naming = Naming(output, label, options.picture.suffix, suffix)
    found = find_items([Path(path) for path in paths], naming)
    items = list(found.items)
    single = len(paths) == 1 and not Path(paths[0]).is_dir()
    workers = _workers(options)
    models = Models(options, 0 if workers is None else workers.threads)
    check_options(items, options, models)
    record = Record.of([Path(path) for path in paths], output, options, models.hashes)
    job = _Job(items, options, models, record, single)
    with graceful_shutdown() as shutdown:
        if workers is None:
            reports = _one_by_one(job, progress, shutdown)
        else:
            models.forget()
            with ExitStack() as films:
                reports = _by_workers(_Shared(job, films), workers, progress, shutdown)
    if all(report.outcome == "done" for report in reports):
        record.remove()
    return UpscaleReport((*found.unreadable, *reports), models.labels, found.left_out)


def check_options(items: Sequence[Item], options: UpscaleOptions, models: Models) -> None:
    """Find options that cannot be right for any file, before there is work.

    Raises:
        InputError: there is no such network, runtime or encoder, or it does not take what was asked.
        Unavailable: the runtime or the encoder does not work here.
    """
    if not items:
        return
    models.check(runs_here=options.ray is None)
    suffixes = {item.output.suffix.lower() for item in items if item.kind == "video"}
    # Without PyAV videos fail one by one, and pictures do not need it.
    if find_spec("av") is not None:
        for suffix in sorted(suffixes) or [""] * (options.video != VideoFormat()):
            check_encoder(options.video, suffix)


def _size(options: UpscaleOptions) -> str:
    box = options.target.box
    if box is None:
        return ""
    return "4k" if box.sides == (2160, 3840) else str(box)


def _workers(options: UpscaleOptions) -> Workers | None:
    if options.ray is not None:
        from toolkit.media.cluster import RayWorkers

        return RayWorkers(options.ray, options.threads)
    if options.jobs > 1:
        return LocalWorkers(options.jobs, options.threads or max(1, usable_cpus() // options.jobs))
    return None


def free_output(item: Item, options: UpscaleOptions) -> None:
    """See before any work that nothing is in the way of the output.

    Raises:
        OutputExists: something is, and it is not to be overwritten.
    """
    if not options.overwrite and os.path.lexists(item.output):
        raise OutputExists(f"{item.output} exists, so {item.source} was not upscaled")


def reported(item: Item, outcome: FileReport | Failure, *, single: bool) -> FileReport:
    """What became of a file; a single file's error is raised."""
    if not isinstance(outcome, Failure):
        return outcome
    if single:
        outcome.reraise()
    return not_done(item, outcome)


@dataclass(frozen=True)
class _Job:
    """A run; `single`: of one file, whose error is raised."""

    items: list[Item]
    options: UpscaleOptions
    models: Models
    record: Record
    single: bool

    def earlier(self, item: Item) -> FileReport | None:
        """The report of a file that need not be done again.

        Raises:
            OutputExists: its output is there, and nothing shows that it is this command's.
        """
        if self.options.resume and self.record.holds(item):
            return FileReport(str(item.source), str(item.output), item.kind, "done", earlier=True)
        free_output(item, self.options)
        return None

    def take(self, item: Item, outcome: FileReport | Failure) -> FileReport:
        """What became of a file."""
        report = reported(item, outcome, single=self.single)
        if report.outcome == "done" and not report.earlier and not self.single:
            self.record.add(item)
        return report


def _one_by_one(job: _Job, progress: ProgressCallback, shutdown: Shutdown) -> list[FileReport]:
    reports: list[FileReport] = []
    items, models = job.items, job.models
    for number, item in enumerate(items, 1):
        if shutdown.requested:
            reports.append(FileReport(str(item.source), "", item.kind, "stopped"))
            continue
        place = item.source.name if job.single else f"{item.source.name} ({number} of {len(items)})"
        progress(Progress(place, (number - 1) / len(items)))

        def work(item: Item = item, place: str = place) -> FileReport:
            if earlier := job.earlier(item):
                return earlier
            if item.kind == "image":
                return _picture(item, job.options, models)
            with begin_film(item, job.options, models) as film:
                return upscale_film(film, place, progress, shutdown)

        outcome = attempt(item.source, work)
        if isinstance(outcome, Failure) and outcome.unexpected:
            models.forget()
        reports.append(job.take(item, outcome))
    return reports


def _picture(item: Item, options: UpscaleOptions, models: Models) -> FileReport:
    begun = time.perf_counter()
    notes = upscale_image(
        item.source, item.output, models.upscaler, options.target, options.picture, overwrite=options.overwrite
    )
    seconds = time.perf_counter() - begun
    return FileReport(str(item.source), str(item.output), "image", "done", 1, seconds, notes=notes)


def upscale_film(film: Film, place: str, progress: ProgressCallback, shutdown: Shutdown) -> FileReport:
    """Do what is left of a video in this process."""
    counter = Counter(progress, film.frames_todo, "frames")
    rest: list[Part] = []

    def done(part: Part, whole: bool) -> None:
        if whole:
            film.take(part)
        else:
            rest.append(part)

    if film.todo:
        run = SegmentRun(film.job, Upscaler(film.job.model, reuse=film.job.reuse))
        # Parts are made in order, so what is left to do is one stretch.
        with film.kept_parts():
            run.run(film.todo, done, lambda: counter.finish(place), lambda: shutdown.requested)
    return film.finish(rest[0] if rest else None)


class _Shared:
    """Files of a run that workers share, until all of them have a report."""

    def __init__(self, job: _Job, films: ExitStack) -> None:
        """`films` are closed when the run is over."""
        self._job, self._items, self._options, self._models = job, job.items, job.options, job.models
        self._films: dict[int, Film] = {}
        self._reports: dict[int, FileReport] = {}
        self._images: list[int] = []
        for index, item in enumerate(self._items):
            begun = attempt(item.source, partial(self._begin, item))
            if isinstance(begun, Failure | FileReport):
                self._report(index, begun)
            elif begun is None:
                self._images.append(index)
            else:
                self._films[index] = films.enter_context(begun)

    def _begin(self, item: Item) -> Film | FileReport | None:
        if earlier := self._job.earlier(item):
            return earlier
        return None if item.kind == "image" else begin_film(item, self._options, self._models)

    def _report(self, index: int, outcome: FileReport | Failure) -> None:
        """Errors of one file among several are its own affair."""
        if isinstance(outcome, Failure) and (film := self._films.get(index)):
            film.abandon(outcome.error)
        if index not in self._reports:
            self._reports[index] = self._job.take(self._items[index], outcome)

    @property
    def total(self) -> int:
        return len(self._images) + sum(film.frames_todo for film in self._films.values())

    def tasks(self, workers: Workers) -> Iterator[tuple[int, Task]]:
        options = self._options
        networks = workers.packed(self._models.all()) if self._images else {}
        for index in self._images:
            item = self._items[index]
            files = item.source, item.output
            yield index, ImageTask(*files, networks, options.target, options.picture, options.overwrite)
        for index, film in self._films.items():
            for segment in film.todo:
                if index not in self._reports:
                    yield index, SegmentTask(film.job, segment, workers.pack(film.job.model))

    def take(self, index: int, result: Result | Failure) -> tuple[str, int]:
        """What a task came to; returns the file's name and the number of frames done."""
        item = self._items[index]
        if isinstance(result, Part):
            part = result
            outcome = attempt(item.source, lambda: self._films[index].take(part))
        else:
            outcome = result if isinstance(result, Failure) else None
        if isinstance(outcome, Failure):
            self._report(index, outcome)
        elif isinstance(result, ImageDone):
            files = str(item.source), str(item.output)
            self._report(index, FileReport(*files, "image", "done", 1, result.seconds, notes=result.notes))
        return item.source.name, result.frames if isinstance(result, Part) else 1

    def finish(self) -> list[FileReport]:
        for index, film in self._films.items():
            if index not in self._reports:
                self._report(index, attempt(film.item.source, partial(film.finish, None)))
        for index, item in enumerate(self._items):
            self._reports.setdefault(index, FileReport(str(item.source), "", item.kind, "stopped"))
        return [self._reports[index] for index in range(len(self._items))]


def _by_workers(shared: _Shared, workers: Workers, progress: ProgressCallback, shutdown: Shutdown) -> list[FileReport]:
    counter = Counter(progress, shared.total, "frames")
    with workers:
        for index, result in workers.results(shared.tasks(workers), lambda: shutdown.requested):
            counter.finish(*shared.take(index, result))
    return shared.finish()
