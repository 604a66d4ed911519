"""`upscale`: files and folders, one after the other or by many workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.errors import InputError, ToolkitError
from toolkit.media.encoding import Part
from toolkit.media.files import Item, find_items
from toolkit.media.film import Film, begin_film
from toolkit.media.models import Models
from toolkit.media.options import UpscaleOptions
from toolkit.media.pictures.upscaling import upscale_image
from toolkit.media.report import FileReport, UpscaleReport
from toolkit.media.tasks import ImageTask, Result, SegmentTask, Task
from toolkit.media.upscaler import Upscaler
from toolkit.media.video import SegmentRun
from toolkit.media.workers import LocalWorkers, Workers
from toolkit.runtimes.hardware import usable_processors
from toolkit.stopping import Stop, stop_on_signals

Advance = Callable[[str, float, float | None], None]
"""Told what is being done, the share done, and the seconds left or None."""


@dataclass
class _Progress:
    """Pictures and frames that are done, of all."""

    advance: Advance
    total: int
    done: int = 0
    begun: float = field(default_factory=time.perf_counter)

    def step(self, what: str, count: int = 1) -> None:
        self.done += count
        seconds = time.perf_counter() - self.begun
        speed = self.done / seconds if seconds else 0.0
        left = (self.total - self.done) / speed if speed else None
        share = min(self.done / self.total, 1.0) if self.total else 1.0
        self.advance(f"{what}, {speed:.2f} frames/s", share, left)


def upscale(
    paths: Sequence[Path | str],
    output: Path | None = None,
    options: UpscaleOptions | None = None,
    *,
    suffix: str | None = None,
    advance: Advance = lambda _what, _share, _left: None,
) -> UpscaleReport:
    """Upscale pictures, videos, and folders of them.

    A file that fails does not keep the others from being done; a single file's error is raised. On Ctrl-C (or SIGTERM)
    videos are closed where they are, and what has been done is put into a playable file beside the output's name.

    Args:
        paths: files and folders; folders are taken recursively and their tree is kept.
        output: a file for a single file, else a folder; None: beside the input.
        options: how.
        suffix: of videos that are not named, `.mkv` for instance; None: the input's where it can be written.
        advance: called as work goes on.

    Raises:
        InputError: bad options, nothing to do, or the only file fails.
        Unavailable: the runtime, PyAV or Ray is not available here.
    """
    options = options or UpscaleOptions()
    label = f"_x{options.target.scale}" if options.target.box is None else f"_{_size(options)}"
    items = find_items([Path(path) for path in paths], output, label, options.picture.suffix, suffix)
    single = len(items) == 1 and not Path(paths[0]).is_dir()
    workers = _workers(options)
    with stop_on_signals() as stop:
        if workers is None:
            models = Models(options)
            reports = _one_by_one(items, options, models, advance, stop, single=single)
        else:
            models = Models(options, workers.threads)
            reports = _by_workers(_Shared(items, options, models, single=single), workers, advance, stop)
    return UpscaleReport(tuple(reports), models.labels)


def _size(options: UpscaleOptions) -> str:
    box = options.target.box
    if box is None:
        return ""
    return "4k" if box.sides == (2160, 3840) else f"{box.width}x{box.height}"


def _workers(options: UpscaleOptions) -> Workers | None:
    if options.ray is not None:
        from toolkit.media.cluster import RayWorkers

        return RayWorkers(options.ray, options.threads)
    if options.jobs > 1:
        return LocalWorkers(options.jobs, options.threads or max(1, usable_processors() // options.jobs))
    return None


def failed(item: Item, error: ToolkitError) -> FileReport:
    """The report of a file that could not be done."""
    return FileReport(str(item.source), "", item.kind, "failed", error=str(error.args[0]), remedy=error.remedy)


def _one_by_one(
    items: list[Item], options: UpscaleOptions, models: Models, advance: Advance, stop: Stop, *, single: bool
) -> list[FileReport]:
    reports = []
    for number, item in enumerate(items, 1):
        if stop.asked:
            reports.append(FileReport(str(item.source), "", item.kind, "stopped"))
            continue
        place = item.source.name if single else f"{item.source.name} ({number} of {len(items)})"
        try:
            if item.kind == "image":
                advance(place, (number - 1) / len(items), None)
                begun = time.perf_counter()
                notes = upscale_image(item.source, item.output, models.upscaler, options.target, options.picture)
                seconds = time.perf_counter() - begun
                report = FileReport(str(item.source), str(item.output), "image", "done", 1, seconds, notes=notes)
            else:
                report = upscale_film(begin_film(item, options, models), place, advance, stop)
        except InputError as error:
            if single:
                raise
            report = failed(item, error)
        reports.append(report)
    return reports


def upscale_film(film: Film, place: str, advance: Advance, stop: Stop) -> FileReport:
    """Do what is left of a video in this process."""
    progress = _Progress(advance, film.frames_todo)
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
            run.run(film.todo, done, lambda: progress.step(place), lambda: stop.asked)
    return film.finish(rest[0] if rest else None)


class _Shared:
    """Files of a run that workers share, until all of them have a report."""

    def __init__(self, items: list[Item], options: UpscaleOptions, models: Models, *, single: bool) -> None:
        self._items, self._options, self._single = items, options, single
        self._models = models
        self._films: dict[int, Film] = {}
        self._reports: dict[int, FileReport] = {}
        self._images = [index for index, item in enumerate(items) if item.kind == "image"]
        for index, item in enumerate(items):
            if item.kind == "video":
                with self._noted(index):
                    self._films[index] = begin_film(item, options, models)

    @contextmanager
    def _noted(self, index: int) -> Iterator[None]:
        """Errors of one file among several are its own affair."""
        try:
            yield
        except InputError as error:
            if self._single:
                raise
            self._reports.setdefault(index, failed(self._items[index], error))

    @property
    def total(self) -> int:
        return len(self._images) + sum(film.frames_todo for film in self._films.values())

    def tasks(self, workers: Workers) -> Iterator[tuple[int, Task]]:
        networks = workers.packed(self._models.all()) if self._images else {}
        for index in self._images:
            item = self._items[index]
            yield index, ImageTask(item.source, item.output, networks, self._options.target, self._options.picture)
        for index, film in self._films.items():
            for segment in film.todo:
                if index not in self._reports:
                    yield index, SegmentTask(film.job, segment, workers.pack(film.job.model))

    def take(self, index: int, result: Result | ToolkitError) -> tuple[str, int]:
        """What a task came to; returns the file's name and the number of frames done."""
        item = self._items[index]
        with self._noted(index):
            if isinstance(result, ToolkitError):
                raise result
            if isinstance(result, Part):
                self._films[index].take(result)
                return item.source.name, result.frames
            self._reports[index] = FileReport(
                str(item.source), str(item.output), "image", "done", 1, result.seconds, notes=result.notes
            )
        return item.source.name, 1

    def finish(self) -> list[FileReport]:
        for index, film in self._films.items():
            if index not in self._reports:
                with self._noted(index):
                    self._reports[index] = film.finish(None)
        for index, item in enumerate(self._items):
            self._reports.setdefault(index, FileReport(str(item.source), "", item.kind, "stopped"))
        return [self._reports[index] for index in range(len(self._items))]


def _by_workers(shared: _Shared, workers: Workers, advance: Advance, stop: Stop) -> list[FileReport]:
    progress = _Progress(advance, shared.total)
    with workers:
        for index, result in workers.results(shared.tasks(workers), lambda: stop.asked):
            progress.step(*shared.take(index, result))
    return shared.finish()
