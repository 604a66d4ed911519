"""A pipeline of three concurrent stages with short queues between them; the slowest determines the speed."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_DEPTH = 3
"""Capacity of a queue: enough to bridge a slow frame, few enough to use little memory."""
_POLL = 0.1
_END = object()


@dataclass
class Times:
    """Seconds that each stage worked, without waiting, and of the whole."""

    source: float = 0.0
    transform: float = 0.0
    sink: float = 0.0
    wall: float = 0.0


class _Abandoned(Exception):
    """Another stage has failed."""


class _Channel:
    """A bounded queue whose `put` and `items` end when another stage has failed."""

    def __init__(self, failed: threading.Event) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(_DEPTH)
        self._failed = failed

    def put(self, item: Any) -> None:
        while not self._failed.is_set():
            try:
                return self._queue.put(item, timeout=_POLL)
            except queue.Full:
                continue
        raise _Abandoned

    def items(self) -> Iterator[Any]:
        while not self._failed.is_set():
            try:
                item = self._queue.get(timeout=_POLL)
            except queue.Empty:
                continue
            if item is _END:
                return
            yield item
        raise _Abandoned


class _Pipeline:
    """The stages and their shared state."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self.times, self.errors = Times(), list[BaseException]()
        self._stopped = stopped
        self._failed = threading.Event()
        self._decoded, self._made = _Channel(self._failed), _Channel(self._failed)

    def guarded(self, stage: Callable[[Any], None], work: Any) -> None:
        try:
            stage(work)
        except _Abandoned:
            pass
        except BaseException as error:  # noqa: BLE001  (raised in the caller's thread)
            self.errors.append(error)
            self._failed.set()

    def give(self, source: Iterator[Any]) -> None:
        while not self._stopped():
            begun = time.perf_counter()
            item = next(source, _END)
            self.times.source += time.perf_counter() - begun
            if item is _END:
                break
            self._decoded.put(item)
        self._decoded.put(_END)

    def work(self, transform: Callable[[Any], Any]) -> None:
        for item in self._decoded.items():
            begun = time.perf_counter()
            made = transform(item)
            self.times.transform += time.perf_counter() - begun
            self._made.put(made)
        self._made.put(_END)

    def take(self, sink: Callable[[Any], None]) -> None:
        for item in self._made.items():
            begun = time.perf_counter()
            sink(item)
            self.times.sink += time.perf_counter() - begun


def pipelined(
    source: Iterator[Any],
    transform: Callable[[Any], Any],
    sink: Callable[[Any], None],
    stopped: Callable[[], bool] = lambda: False,
) -> Times:
    """Run `sink(transform(item))` for all items in order; source and sink run in their own threads.

    When `stopped` returns true, the source ends, and the items that it has returned are still processed.

    Raises:
        The first exception of any stage.
    """
    pipeline = _Pipeline(stopped)
    begun = time.perf_counter()
    stages = (pipeline.give, source), (pipeline.take, sink)
    threads = [threading.Thread(target=pipeline.guarded, args=stage, daemon=True) for stage in stages]
    for thread in threads:
        thread.start()
    pipeline.guarded(pipeline.work, transform)
    for thread in threads:
        thread.join()
    pipeline.times.wall = time.perf_counter() - begun
    if pipeline.errors:
        raise pipeline.errors[0]
    return pipeline.times
