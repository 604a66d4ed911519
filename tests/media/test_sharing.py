"""Batches that workers share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
from media.films import moving, read_film, write_film
from media.nearest import nearest_artifact

from toolkit.errors import ToolkitError
from toolkit.media.batch import Batch
from toolkit.media.failure import Failure
from toolkit.media.files import Naming, find_items
from toolkit.media.networks import Networks
from toolkit.media.options import UpscaleOptions
from toolkit.media.record import Record
from toolkit.media.sharing import SharedBatch
from toolkit.media.tasks import Result, Task, attempt_task
from toolkit.media.videos import video_file
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.workers import LocalWorkers

AHEAD = 3
"""Tasks that are with the workers at any time."""


class Inline(LocalWorkers):
    """Workers in this process that return tasks in the reverse order of their start."""

    def __init__(self) -> None:
        super().__init__(AHEAD, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def results(
        self, tasks: Iterator[tuple[int, Task]], stopped: Callable[[], bool]
    ) -> Iterator[tuple[int, Result | Failure]]:
        running: list[tuple[int, Task]] = []
        more = True
        while more or running:
            while more and len(running) < AHEAD:
                item = None if stopped() else next(tasks, None)
                if item is None:
                    more = False
                else:
                    running.append(item)
            if running:
                index, task = running.pop()
                yield index, attempt_task(task)


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """Eight videos of four segments each."""
    monkeypatch.setattr(video_file, "SEGMENT_SECONDS", 0.15)
    options = UpscaleOptions(
        models=(nearest_artifact(tmp_path / "network").path,), threads=1, runtime="ort-cpu", video=VideoFormat("ffv1")
    )
    folder = tmp_path / "films"
    folder.mkdir()
    first = write_film(folder / "0.mkv", moving(16), codec="ffv1", options={"g": "4"})
    for number in range(1, 8):
        shutil.copy(first, folder / f"{number}.mkv")
    items = list(find_items([folder], Naming(None, "_x2", None, None)).items)
    return Batch(items, options, Networks(options), Record(tmp_path / "record"), single=False)


def locks(batch: Batch) -> int:
    return len(list(batch.items[0].output.parent.glob(".*.parts/lock")))


def test_open_videos_are_bounded_by_the_workers(batch: Batch) -> None:
    """Each open video holds a file descriptor: a folder may have more videos than a process may have open files."""
    workers, opened, finished = Inline(), [], []
    with SharedBatch(batch, workers) as shared:
        for index, result in workers.results(shared.tasks(), lambda: False):
            shared.take(index, result)
            opened.append(locks(batch))
            finished.append(sum(item.output.exists() for item in batch.items))
        reports = shared.finish()
    assert max(opened) <= AHEAD
    assert opened[-1] == 0
    assert finished[len(finished) // 2] >= 3, "outputs appear while others are worked on"
    assert [report.outcome for report in reports] == ["done"] * 8
    assert [len(read_film(item.output)) for item in batch.items] == [16] * 8


def test_the_number_of_frames_is_estimated(batch: Batch) -> None:
    """Of videos that are not begun, by the mean of the others."""
    with SharedBatch(batch, Inline()) as shared:
        assert shared.frames == 8
        tasks = shared.tasks()
        next(tasks)
        assert shared.frames == 8 * 16


def test_a_stop_leaves_what_is_done(batch: Batch) -> None:
    workers, taken = Inline(), list[int]()
    with SharedBatch(batch, workers) as shared:
        for index, result in workers.results(shared.tasks(), lambda: len(taken) == 5):
            shared.take(index, result)
            taken.append(index)
        reports = shared.finish()
    assert locks(batch) == 0
    outcomes = [report.outcome for report in reports]
    assert outcomes[0] == "done"
    assert outcomes[2:] == ["stopped"] * 6
    assert {report.output for report in reports[3:]} == {""}
    resumed = replace(batch, options=replace(batch.options, resume=True, overwrite=True))
    with SharedBatch(resumed, workers) as shared:
        for index, result in workers.results(shared.tasks(), lambda: False):
            shared.take(index, result)
        assert {report.outcome for report in shared.finish()} == {"done"}
    assert not list(batch.items[0].output.parent.glob("*.stopped.mkv"))


def test_a_segment_that_fails_ends_its_video_only(batch: Batch) -> None:
    workers, failed = Inline(), batch.items[1].source
    with SharedBatch(batch, workers) as shared:
        for index, result in workers.results(shared.tasks(), lambda: False):
            bad = index == 1 and not isinstance(result, Failure)
            shared.take(index, Failure.of(ToolkitError("planted"), failed) if bad else result)
        reports = shared.finish()
    outcomes = [report.outcome for report in reports]
    assert outcomes == ["done", "failed", *["done"] * 6]
    assert reports[1].error == "planted"
    assert not batch.items[1].output.exists()
    assert locks(batch) == 0
