"""Cells measured in turns, so that a machine's drift and its neighbours hit all of them alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from toolkit.profiling.client import CellFailed, Worker
from toolkit.profiling.messages import Open

WARM_UP_SECONDS = 0.2
"""And at least two frames besides the first: trtexec's default, which readers assume."""

ROUND_SECONDS = 1.0
"""What a cell's share of a round is meant to take: many frames of a fast cell, one of a slow one."""

MINIMUM_TRIALS = 5

Advance = Callable[[str, float, float | None], None]
"""Called with what is being done, the share done, and the seconds left when they are known."""

_LOADING_SHARE = 0.2


@dataclass
class Measurement:
    """What was measured of one cell: either `failure`, or all the others."""

    load_seconds: float = 0.0
    executed: dict[str, int] = field(default_factory=dict)
    warm_up_frames: int = 0
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    failure: str = ""


class Turns:
    """One cell's share of the schedule."""

    def __init__(self, request: Open, worker: Worker, duration: float) -> None:
        self.request = request
        self.result = Measurement()
        self._worker, self._duration = worker, duration
        self._frame_seconds = 0.0
        self._wanted = 0

    @property
    def seconds_left(self) -> float:
        return 0.0 if self.result.failure else (self._wanted - len(self.result.seconds)) * self._frame_seconds

    def begin(self) -> None:
        """Load and warm up."""
        self.result.load_seconds = self._worker.open(self.request).load_seconds
        seconds: list[float] = []
        while len(seconds) < 2 or sum(seconds) < WARM_UP_SECONDS:
            seconds += self._worker.run(1)
        self.result.warm_up_frames = 1 + len(seconds)
        self._frame_seconds = min(seconds)
        self._wanted = max(MINIMUM_TRIALS, round(self._duration / self._frame_seconds))

    def turn(self, share: float) -> None:
        """Measure until `share` of all trials is done; of a slow cell that may be none this time."""
        frames = round(self._wanted * share) - len(self.result.seconds)
        if frames <= 0:
            return
        if self._frame_seconds < ROUND_SECONDS:
            self._worker.run(1)  # the others' turns have emptied the caches; a slow frame does not notice
        self.result.seconds += self._worker.run(frames)

    def end(self) -> None:
        stopped = self._worker.stop()
        self.result.peak_bytes, self.result.executed = stopped.peak_bytes, stopped.executed

    def attempt(self, action: Callable[[], None]) -> None:
        """Do something; a failure ends this cell only."""
        if not self.result.failure:
            try:
                action()
            except CellFailed as error:
                self.result.failure = str(error).replace("\n  ", " ")


def measure(
    requests: Sequence[Open], duration: float, advance: Advance = lambda _what, _share, _left: None
) -> list[Measurement]:
    """Measure cells in interleaved turns: in each round every cell does its share, in random order.

    Args:
        requests: one per cell.
        duration: seconds of measuring per cell; at least `MINIMUM_TRIALS` frames are taken however long they are.
        advance: see `Advance`.
    """
    order = random.Random(0)  # noqa: S311  (a schedule needs no secrets)
    with ExitStack() as stack:
        cells = [Turns(request, stack.enter_context(Worker()), duration) for request in requests]
        for index, cell in enumerate(cells):
            advance(f"loading {cell.request.runtime}", _LOADING_SHARE * index / len(cells), None)
            cell.attempt(cell.begin)
        total = sum(cell.seconds_left for cell in cells) or 1.0
        rounds = max(MINIMUM_TRIALS, round(duration / ROUND_SECONDS))
        for number in range(1, rounds + 1):
            for cell in order.sample(cells, len(cells)):
                left = sum(cell.seconds_left for cell in cells)
                advance("measuring", _LOADING_SHARE + (1 - _LOADING_SHARE) * (1 - left / total), left)
                cell.attempt(partial(cell.turn, number / rounds))
        for cell in cells:
            cell.attempt(cell.end)
        return [cell.result for cell in cells]
