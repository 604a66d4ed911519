"""Schedule of a measurement: cells take turns, so that drift and other load affect all of them equally.

Every cell is loaded and warmed up first. Then, in each round and in random order, each cell measures a short block of
frames, until its median is known precisely enough or its time is used up.
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
from toolkit.runtimes.reported import Stages
from toolkit.system.progress import Progress, ProgressCallback, no_progress

BLOCK_SECONDS = 0.5
"""Target duration of a block: many frames of a fast cell, one frame of a slow one."""

MINIMUM_ROUNDS = 5
"""Rounds of every cell, however slow: with fewer blocks there is no confidence interval."""

ROUNDS_FOR_PRECISION = 8
"""Rounds before a cell may end early. The interval is checked after every round, and an estimate that is checked often
falls below a limit by chance more often; a minimum number of rounds keeps that rare."""

_LONGEST_WARM_UP = 4.0
"""Longest warm-up, as a multiple of the time that a cell is measured."""

_CACHE_SECONDS = 1.0
"""A cell with shorter frames runs one untimed frame at the start of a turn, because other cells have evicted its data
from the caches. For longer frames that effect is below the noise."""

_LOADING_SHARE = 0.2
"""Share of a cell's progress that is loading and warm-up."""

_SPARE = 2.0
"""Another cell is loaded only if available memory exceeds that of the largest loaded cell by this factor."""


@dataclass(frozen=True)
class Pace:
    """How long cells are measured.

    Attributes:
        duration: seconds of frames per cell; longer if `MINIMUM_ROUNDS` frames take longer.
        precision: a cell ends early when the confidence interval of its median is narrower than this share of it.
        timeout: seconds that a worker may take for one reply.
    """

    duration: float
    precision: float = 0.02
    timeout: float = CELL_TIMEOUT


class Block(msgspec.Struct, frozen=True):
    """Frames that a cell measured in one round: seconds of each, in order."""

    round: int
    seconds: tuple[float, ...]


@dataclass
class Measurement:
    """The measurement of one cell: either `failure`, or all other fields."""

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
        """Frame times in seconds, by block."""
        return [block.seconds for block in self.blocks]

    @property
    def seconds(self) -> list[float]:
        """Frame times of all blocks, in seconds."""
        return [second for block in self.blocks for second in block.seconds]


Finish = Callable[[int, Worker, Measurement], None]
"""Called for each cell after it was measured, with its index and its worker, which is still warm."""


class Turns:
    """One cell in the schedule: loads it, measures its blocks, and collects the results."""

    def __init__(self, request: Open, pace: Pace, meter: Meter, done: Measurement) -> None:
        """
        Args:
            request: what is measured.
            pace: how long.
            meter: reads the machine's conditions.
            done: the measurement of an interrupted run, to be continued; or an empty one.
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
        """Upper limit of the remaining seconds."""
        if self.result.failure:
            return 0.0
        missing = max(MINIMUM_ROUNDS - len(self.result.blocks), 0) * self._frame_seconds
        return max(missing, self._pace.duration - sum(self.result.seconds))

    def begin(self, worker: Worker) -> None:
        """Load the session in a newly started process, and warm up."""
        self._worker, result = worker, self.result
        result.opened = worker.open(self.request)
        result.start_seconds = worker.age
        result.warm_up = list(worker.run(1).seconds)
        window = window_frames(result.warm_up[0])
        limit = min(LIMIT_SECONDS, _LONGEST_WARM_UP * self._pace.duration)
        while not (steady := is_steady(result.warm_up, window)) and sum(result.warm_up) < limit:
            # A single frame first, which shows a slow start; then one window at a time.
            result.warm_up += worker.run(window if len(result.warm_up) > 1 else 1).seconds
        result.steady, result.steady_seconds = steady, worker.age
        self._frame_seconds = min(result.warm_up)

    def turn(self, number: int) -> None:
        """Measure one block."""
        length = min(BLOCK_SECONDS, self._pace.duration / MINIMUM_ROUNDS)
        frames = max(1, round(length / self._frame_seconds))
        if self._frame_seconds < _CACHE_SECONDS:
            self.worker.run(1)
        before = self._meter.read()
        timed = self.worker.run(frames)
        self._ledger.add(before, self._meter.read(), timed.processor_seconds, frames)
        self.result.blocks.append(Block(number, tuple(timed.seconds)))
        self.result.stages += timed.stages
        self.result.conditions = self._ledger.conditions()

    def end(self, finish: Callable[[Worker], None], nvidia: Nvidia | None) -> None:
        """Finish the cell: extra measurements, peak memory and executed precisions; then stop the worker."""
        finish(self.worker)
        if nvidia is not None:
            self.result.device_bytes = nvidia.process_bytes(self.worker.pid)
        stopped = self.worker.stop()
        self.result.peak_bytes, self.result.executed = stopped.peak_bytes, stopped.executed
        self.result.device = stopped.device
        self.result.finished = True

    def attempt(self, action: Callable[[], None]) -> None:
        """Run `action`; a failure ends this cell only."""
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

    As many cells as fit into memory are loaded together; the others are measured after those.

    Args:
        requests: one per cell.
        pace: how long each cell is measured.
        progress: called before every turn of a cell.
        earlier: per cell, the measurement of an interrupted run to continue, or None.
        keep: called after every round with the measurements so far.
        finish: see `Finish`.
        nvidia: the GPU, whose conditions are recorded too.

    Returns:
        One measurement per request, in the same order.
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
    """Progress of cells that are loaded and measured in batches."""

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
    """Load waiting cells, until none is left or the next one might not fit into memory."""
    batch: list[tuple[int, Turns]] = []
    largest = 0  # resident bytes
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
