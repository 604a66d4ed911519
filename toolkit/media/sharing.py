"""A batch whose pictures and video segments are shared by workers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Self

from toolkit.media.batch import Batch
from toolkit.media.failure import Failure, attempt
from toolkit.media.packed import PackedSubject
from toolkit.media.report import FileReport
from toolkit.media.tasks import ImageDone, ImageTask, Result, SegmentTask, Task
from toolkit.media.videos.encoding import Part
from toolkit.media.videos.run import VideoRun, begin_video
from toolkit.media.workers import Workers
from toolkit.network.bundled_files import Purpose
from toolkit.runtimes.subject import Subject
from toolkit.system.progress import Counter, ProgressCallback
from toolkit.system.shutdown import Shutdown


class SharedBatch:
    """The tasks of a batch, and the files that are assembled from their results; a context manager.

    A video is opened when its first segment is about to be handed out, and closed when its last one is back. So the
    number of open videos is bounded by the number of workers, not by the number of files.
    """

    def __init__(self, batch: Batch, workers: Workers) -> None:
        self._batch, self._workers = batch, workers
        self._reports: dict[int, FileReport] = {}
        self._open: dict[int, VideoRun] = {}
        self._running: dict[int, int] = {}
        """Of each open video: segments that are with workers, and 1 more while segments are still to be handed out."""
        self._frames: dict[int, int] = {}
        """Of each video that was begun: frames that were to be done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for index in list(self._open):
            self._close(index)

    @property
    def frames(self) -> int:
        """Pictures and frames of the whole batch; those of videos that are not begun are estimated from the others."""
        known = list(self._frames.values())
        mean = round(sum(known) / len(known)) if known else 1
        return sum(self._frames.get(index, 1 if self._is_image(index) else mean) for index in self._indices)

    def tasks(self) -> Iterator[tuple[int, Task]]:
        """Tasks with the numbers of their files: pictures first, then videos in order."""
        batch, images = self._batch, []
        for index in filter(self._is_image, self._indices):
            begun = attempt(batch.items[index].source, partial(batch.earlier, batch.items[index]))
            if begun is None:
                images.append(index)
            else:
                self._report(index, begun)
        options, packed = batch.options, dict[Purpose, dict[int, Subject | PackedSubject]]()
        for index in images:
            item = batch.items[index]
            chosen = batch.networks.of(item)
            if chosen.purpose not in packed:
                packed[chosen.purpose] = self._workers.packed(chosen.all())
            yield (
                index,
                ImageTask(
                    item.source,
                    item.output,
                    packed[chosen.purpose],
                    batch.networks.target,
                    options.memory,
                    options.picture,
                    options.overwrite,
                ),
            )
        for index in self._indices:
            if not self._is_image(index):
                yield from self._segments(index)

    def take(self, index: int, result: Result | Failure) -> tuple[str, int]:
        """Take the result of a task; returns the file's name and the number of frames that are done."""
        item = self._batch.items[index]
        if isinstance(result, ImageDone):
            files = str(item.source), str(item.output)
            self._report(
                index, FileReport(*files, "image", "done", 1, result.seconds, result.scale, notes=result.notes)
            )
            return item.source.name, 1
        outcome: Result | Failure | None = result
        if isinstance(result, Part):
            outcome = attempt(item.source, partial(self._open[index].take, result))
        if isinstance(outcome, Failure):
            self._report(index, outcome)
        if not self._is_image(index):
            self._returned(index)
        return item.source.name, result.frames if isinstance(result, Part) else 1

    def finish(self) -> list[FileReport]:
        """Reports of all files; videos that were stopped are assembled as far as they go."""
        for index in list(self._open):
            self._assemble(index)
        for index, item in enumerate(self._batch.items):
            self._reports.setdefault(index, FileReport(str(item.source), "", item.kind, "stopped"))
        return [self._reports[index] for index in self._indices]

    @property
    def _indices(self) -> range:
        return range(len(self._batch.items))

    def _is_image(self, index: int) -> bool:
        return self._batch.items[index].kind == "image"

    def _segments(self, index: int) -> Iterator[tuple[int, SegmentTask]]:
        """Tasks of a video, until one of them fails."""
        item = self._batch.items[index]
        begun = attempt(item.source, partial(self._begin, index))
        if not isinstance(begun, VideoRun):
            self._report(index, begun)
            return
        self._open[index], self._running[index] = begun, 1
        self._frames[index] = begun.frames_remaining
        for segment in begun.remaining:
            if index in self._reports:
                break
            self._running[index] += 1
            yield index, SegmentTask(begun.job, segment, self._workers.pack(begun.job.subject))
        self._returned(index)

    def _begin(self, index: int) -> VideoRun | FileReport:
        item, options = self._batch.items[index], self._batch.options
        if earlier := self._batch.earlier(item):
            return earlier
        return begin_video(
            item,
            self._batch.networks.target,
            options.video_settings,
            self._batch.networks.of(item),
            resume=options.resume,
            overwrite=options.overwrite,
        )

    def _returned(self, index: int) -> None:
        self._running[index] -= 1
        if not self._running[index]:
            self._assemble(index)

    def _assemble(self, index: int) -> None:
        """Write a video's output unless it has failed, and close it."""
        if index not in self._reports:
            item = self._batch.items[index]
            self._report(index, attempt(item.source, partial(self._open[index].finish, None)))
        self._close(index)

    def _close(self, index: int) -> None:
        self._open.pop(index).close()

    def _report(self, index: int, outcome: FileReport | Failure) -> None:
        """Keep the first report of a file; later ones, of its other segments, are ignored."""
        if isinstance(outcome, Failure) and (video := self._open.get(index)):
            video.abandon(outcome.error)
        if index not in self._reports:
            self._reports[index] = self._batch.report(self._batch.items[index], outcome)


def upscale_shared(batch: Batch, workers: Workers, progress: ProgressCallback, shutdown: Shutdown) -> list[FileReport]:
    """Upscale a batch with workers."""
    with SharedBatch(batch, workers) as shared:
        counter = Counter(progress, shared.frames, "frames")
        with workers:
            for index, result in workers.results(shared.tasks(), lambda: shutdown.requested):
                name, frames = shared.take(index, result)
                counter.total = shared.frames
                counter.finish(name, frames)
        return shared.finish()
