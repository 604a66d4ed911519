"""Cells measured in turns, so that a machine's drift and its neighbours hit all of them alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from toolkit.profiling.client import CellFailed, Worker
from toolkit.profiling.messages import Open

WARM_UP_SECONDS = 0.2
"""And at least two frames besides the first: trtexec's default, which readers assume."""

TURN_SECONDS = 1.0
"""A cell's turn: many frames of a fast cell, one of a slow one."""

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
    def finished(self) -> bool:
        return bool(self.result.failure) or len(self.result.seconds) >= self._wanted

    @property
    def seconds_left(self) -> float:
        return 0.0 if self.finished else (self._wanted - len(self.result.seconds)) * self._frame_seconds

    def begin(self) -> None:
        """Load and warm up."""
        opened = self._worker.open(self.request)
        self.result.load_seconds, self.result.executed = opened.load_seconds, opened.executed
        seconds: list[float] = []
        while len(seconds) < 2 or sum(seconds) < WARM_UP_SECONDS:
            seconds += self._worker.run(1)
        self.result.warm_up_frames = 1 + len(seconds)
        self._frame_seconds = min(seconds)
        self._wanted = max(MINIMUM_TRIALS, round(self._duration / self._frame_seconds))

    def turn(self) -> None:
        """Measure for about `TURN_SECONDS`."""
        if self._frame_seconds < TURN_SECONDS:
            self._worker.run(1)  # the others' turns have emptied the caches; a slow frame does not notice
        frames = max(1, round(TURN_SECONDS / self._frame_seconds))
        self.result.seconds += self._worker.run(min(frames, self._wanted - len(self.result.seconds)))

    def end(self) -> None:
        self.result.peak_bytes = self._worker.stop()

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
    """Measure cells in interleaved turns, in random order within each round.

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
        while pending := [cell for cell in cells if not cell.finished]:
            order.shuffle(pending)
            for cell in pending:
                left = sum(cell.seconds_left for cell in cells)
                advance("measuring", _LOADING_SHARE + (1 - _LOADING_SHARE) * (1 - left / total), left)
                cell.attempt(cell.turn)
        for cell in cells:
            cell.attempt(cell.end)
        return [cell.result for cell in cells]
