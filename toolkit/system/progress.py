"""Progress of long operations: the event that they report, and helpers for operations that have parts or units."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """What an operation is doing at this moment.

    Attributes:
        activity: the current step, in a few words.
        fraction: how much of the operation is done, 0 to 1; None: not known.
        seconds_left: until the end of the operation; None: not known, a display may estimate it from `fraction`.

    Example:
        >>> def show(progress: toolkit.Progress) -> None:
        ...     print(progress.activity, progress.fraction)
        >>> show(toolkit.Progress("tracing", 0.25))
        tracing 0.25
    """

    activity: str
    fraction: float | None = None
    seconds_left: float | None = None


ProgressCallback = Callable[[Progress], None]
"""Called when there is something new to show, from the thread that runs the operation. What it raises ends that."""


def no_progress(_progress: Progress) -> None:
    """The callback that shows nothing."""


def within(callback: ProgressCallback, start: float, end: float, *, prefix: str = "") -> ProgressCallback:
    """A callback for a part of an operation.

    Args:
        callback: of the whole operation.
        start: fraction of the whole that is done when the part begins, 0 to 1.
        end: and when the part is done.
        prefix: written before the part's activities.
    """

    def report(progress: Progress) -> None:
        fraction = start + (progress.fraction or 0.0) * (end - start)
        # The time left of a part is that of the whole only for the last part.
        seconds_left = progress.seconds_left if end == 1 else None
        callback(Progress(f"{prefix}{progress.activity}", fraction, seconds_left))

    return report


@dataclass
class Counter:
    """Progress of an operation that consists of units of about the same cost.

    Attributes:
        callback: of the operation.
        total: number of units.
        unit: plural, for the rate, `frames` for instance.
        done: number of units that are done.
    """

    callback: ProgressCallback
    total: int
    unit: str = ""
    done: int = 0
    _begun: float = field(default_factory=time.perf_counter)

    def start(self, activity: str) -> None:
        """Report that a unit begins; it counts as done from the next report on."""
        self.callback(Progress(activity, self._fraction))
        self.done += 1

    def finish(self, activity: str, count: int = 1) -> None:
        """Report that `count` units are done, with the rate, and the time left at that rate."""
        self.done += count
        seconds = time.perf_counter() - self._begun
        rate = self.done / seconds if seconds else 0.0
        left = max(self.total - self.done, 0) / rate if rate else None
        self.callback(Progress(f"{activity}, {rate:.2f} {self.unit}/s", self._fraction, left))

    @property
    def _fraction(self) -> float:
        return min(self.done / self.total, 1.0) if self.total else 1.0
