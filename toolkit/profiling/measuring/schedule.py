"""Cells measured in turns, so that a machine's drift and its neighbours hit all of them alike.

Every cell is loaded and warmed up first. Then, round by round and in random order, each measures a short block of
frames, until it knows its median well enough or its time is over.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import msgspec

from toolkit.profiling.measuring.client import CELL_TIMEOUT, CellFailed, Worker
from toolkit.profiling.measuring.conditions import Conditions, Ledger, Meter, available_bytes
from toolkit.profiling.measuring.messages import Open, Opened
from toolkit.profiling.measuring.nvidia import Nvidia
from toolkit.profiling.measuring.statistics import median_interval
from toolkit.profiling.measuring.steady import LIMIT_SECONDS, is_steady, window_frames
from toolkit.runtimes.protocol import Stages
from toolkit.system.progress import Progress, ProgressCallback, no_progress

BLOCK_SECONDS = 0.5
"""What a block is meant to take: many frames of a fast cell, one of a slow one."""

MINIMUM_ROUNDS = 5
"""However long its frames take: with fewer there is no interval."""

ROUNDS_FOR_PRECISION = 8
"""Before a cell may end early: whoever looks after every round whether it may end finds so too often."""

_LONGEST_WARM_UP = 4.0
"""Of the time that a cell is measured."""

_AWAKE_SECONDS = 1.0
"""A frame that takes longer does not notice that the others' turns have emptied the caches."""

_LOADING_SHARE = 0.2

_SPARE = 2.0
"""Another cell is loaded while there is this many times the memory that the largest so far takes."""


@dataclass(frozen=True)
class Pace:
    """How long cells are measured.

    Attributes:
        duration: seconds of frames per cell; more where `MINIMUM_ROUNDS` frames take longer.
        precision: width of the median's interval, as a share of the median, at which a cell ends before.
        timeout: seconds that a worker may take for one answer.
    """

    duration: float
    precision: float = 0.02
    timeout: float = CELL_TIMEOUT


class Block(msgspec.Struct, frozen=True):
    """Frames that a cell measured in one turn: seconds of each, in order."""

    round: int
    seconds: tuple[float, ...]


@dataclass
class Measurement:
    """What was measured of one cell: either `failure`, or all the others."""

    opened: Opened | None = None
    start_seconds: float = 0.0
    """From the start of the process to the end of the first frame."""
    warm_up: list[float] = field(default_factory=list)
    steady: bool = False
    steady_seconds: float = 0.0
    """From the start of the process to the end of the warm-up."""
    blocks: list[Block] = field(default_factory=list)
    stages: list[Stages] = field(default_factory=list)
    conditions: Conditions = field(default_factory=Conditions)
    device_bytes: int | None = None
    peak_bytes: int = 0
    executed: dict[str, int] = field(default_factory=dict)
    device: str = "cpu"
    finished: bool = False
    failure: str = ""

    @property
    def times(self) -> list[tuple[float, ...]]:
        """Seconds of frames, by block."""
        return [block.seconds for block in self.blocks]

    @property
    def seconds(self) -> list[float]:
        """Of all frames."""
        return [second for block in self.blocks for second in block.seconds]


Finish = Callable[[int, Worker, Measurement], None]
"""Called for each cell after the measuring, with its number and its worker, which is still warm."""


class Turns:
    """One cell's share of the schedule."""

    def __init__(self, request: Open, pace: Pace, meter: Meter, done: Measurement) -> None:
        """
        Args:
            request: what is measured.
            pace: how long.
            meter: of the machine.
            done: of an earlier run that was interrupted, or empty.
        """
        self.request, self.result = request, done
        self._pace, self._meter = pace, meter
        self._worker: Worker | None = None
        self._ledger = Ledger()
        self._frame_seconds = 0.0

    @property
    def worker(self) -> Worker:
        assert self._worker is not None  # noqa: S101  (begin comes first)
        return self._worker

    @property
    def active(self) -> bool:
        """Whether there is more to measure."""
        if self.result.failure:
            return False
        rounds, pace = len(self.result.blocks), self._pace
        if rounds < MINIMUM_ROUNDS:
            return True
        if sum(self.result.seconds) >= pace.duration:
            return False
        if rounds < ROUNDS_FOR_PRECISION:
            return True
        interval = median_interval(self.result.times)
        middle = self._frame_seconds if interval is None else (interval.low + interval.high) / 2
        return interval is None or interval.width > pace.precision * middle

    @property
    def seconds_left(self) -> float:
        """At most."""
        if self.result.failure:
            return 0.0
        missing = max(MINIMUM_ROUNDS - len(self.result.blocks), 0) * self._frame_seconds
        return max(missing, self._pace.duration - sum(self.result.seconds))

    def begin(self, worker: Worker) -> None:
        """Load in a process that was just started, and warm up."""
        self._worker, result = worker, self.result
        result.opened = worker.open(self.request)
        result.start_seconds = worker.age
        result.warm_up = list(worker.run(1).seconds)
        window = window_frames(result.warm_up[0])
        limit = min(LIMIT_SECONDS, _LONGEST_WARM_UP * self._pace.duration)
        while not (steady := is_steady(result.warm_up, window)) and sum(result.warm_up) < limit:
            # One frame first, so as to see a slow start; then window by window.
            result.warm_up += worker.run(window if len(result.warm_up) > 1 else 1).seconds
        result.steady, result.steady_seconds = steady, worker.age
        self._frame_seconds = min(result.warm_up)

    def turn(self, number: int) -> None:
        """Measure a block."""
        length = min(BLOCK_SECONDS, self._pace.duration / MINIMUM_ROUNDS)
        frames = max(1, round(length / self._frame_seconds))
        if self._frame_seconds < _AWAKE_SECONDS:
            self.worker.run(1)
        before = self._meter.read()
        timed = self.worker.run(frames)
        self._ledger.add(before, self._meter.read(), timed.processor_seconds, frames)
        self.result.blocks.append(Block(number, tuple(timed.seconds)))
        self.result.stages += timed.stages
        self.result.conditions = self._ledger.conditions()

    def end(self, finish: Callable[[Worker], None], nvidia: Nvidia | None) -> None:
        """What is left to ask, and the end of the process."""
        finish(self.worker)
        if nvidia is not None:
            self.result.device_bytes = nvidia.process_bytes(self.worker.pid)
        stopped = self.worker.stop()
        self.result.peak_bytes, self.result.executed = stopped.peak_bytes, stopped.executed
        self.result.device = stopped.device
        self.result.finished = True

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something; a failure ends this cell only."""
        if not self.result.failure:
            try:
                action()
            except CellFailed as error:
                self.result.failure = str(error).replace("\n  ", " ")


def measure(
    requests: Sequence[Open],
    pace: Pace,
    progress: ProgressCallback = no_progress,
    *,
    earlier: Sequence[Measurement | None] = (),
    keep: Callable[[list[Measurement]], None] = lambda _: None,
    finish: Finish = lambda _index, _worker, _result: None,
    nvidia: Nvidia | None = None,
) -> list[Measurement]:
    """Measure cells in interleaved turns: in each round every cell measures a block, in random order.

    All cells are loaded at once, as far as there is memory for them; the others are measured after those.

    Args:
        requests: one per cell.
        pace: how long.
        progress: called before every turn of a cell.
        earlier: per cell what an interrupted run measured of it, which is gone on with.
        keep: called after every round with what is known so far.
        finish: see `Finish`.
        nvidia: the GPU, to be watched too.
    """
    meter = Meter(nvidia)
    known = list(earlier) or [None] * len(requests)
    cells = [Turns(request, pace, meter, done or Measurement()) for request, done in zip(requests, known, strict=True)]
    results = [cell.result for cell in cells]
    batches = _Batches(progress, len(cells))
    waiting = list(enumerate(cells))
    while waiting:
        with ExitStack() as stack:
            batch = _begin(waiting, stack, pace, batches)
            keep(results)
            _take_turns([cell for _, cell in batch], results, batches, keep)
            for index, cell in batch:
                cell.attempt(partial(cell.end, partial(_finish, finish, index, cell.result), nvidia))
            batches.done += len(batch)
    return results


@dataclass
class _Batches:
    """Progress of cells that are loaded and measured in batches; loading counts as a fifth of the work on a cell."""

    callback: ProgressCallback
    cells: int
    done: int = 0

    def loading(self, what: str, loaded: int) -> None:
        self.callback(Progress(f"loading {what}", (self.done + _LOADING_SHARE * loaded) / self.cells))

    def measuring(self, batch: int, share: float, left: float) -> None:
        measured = batch * (_LOADING_SHARE + (1 - _LOADING_SHARE) * share)
        self.callback(Progress("measuring", (self.done + measured) / self.cells, left))


def _begin(
    waiting: list[tuple[int, Turns]], stack: ExitStack, pace: Pace, batches: _Batches
) -> list[tuple[int, Turns]]:
    """Load cells, until none is waiting or the next might not have enough memory."""
    batch: list[tuple[int, Turns]] = []
    largest = 0
    while waiting and (not batch or available_bytes() > _SPARE * largest):
        index, cell = waiting.pop(0)
        batches.loading(cell.request.runtime, len(batch))
        cell.attempt(partial(cell.begin, stack.enter_context(Worker(pace.timeout))))
        largest = max(largest, cell.result.opened.resident_loaded if cell.result.opened else 0)
        batch.append((index, cell))
    return batch


def _take_turns(
    cells: Sequence[Turns],
    results: list[Measurement],
    batches: _Batches,
    keep: Callable[[list[Measurement]], None],
) -> None:
    order = random.Random(0)  # noqa: S311  (a schedule needs no secrets)
    total = sum(cell.seconds_left for cell in cells) or 1.0
    number = max((block.round for result in results for block in result.blocks), default=0)
    while active := [cell for cell in cells if cell.active]:
        number += 1
        for cell in order.sample(active, len(active)):
            left = sum(other.seconds_left for other in active)
            batches.measuring(len(cells), 1 - left / total, left)
            cell.attempt(partial(cell.turn, number))
        keep(results)


def _finish(finish: Finish, index: int, result: Measurement, worker: Worker) -> None:
    finish(index, worker, result)
