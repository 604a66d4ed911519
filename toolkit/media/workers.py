"""Processes of this machine that share the work."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from types import TracebackType
from typing import Protocol, Self

from toolkit.errors import InputError, ToolkitError
from toolkit.media.model import Model, PackedModel
from toolkit.media.tasks import Result, Task, run_task

_POLL = 0.2


class Workers(Protocol):
    """Whoever does tasks, in whatever order.

    Attributes:
        threads: of the runtime in each worker; 0: all that the worker may use.
    """

    threads: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def results(
        self, tasks: Iterator[tuple[int, Task]], stopped: Callable[[], bool]
    ) -> Iterator[tuple[int, Result | ToolkitError]]:
        """Results as they come, with the number each task was given. When stopped, of what was begun."""
        ...

    def pack(self, model: Model) -> PackedModel | None:
        """What of a model has to travel; None where workers see our files."""
        ...

    def packed(self, models: dict[int, Model]) -> dict[int, Model | PackedModel]: ...


class LocalWorkers:
    """A pool of processes."""

    def __init__(self, count: int, threads: int) -> None:
        self.threads, self._count = threads, count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        # Not forked: runtimes have threads.
        self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=error is None, cancel_futures=True)
            for process in processes if error is not None else []:
                process.terminate()

    def results(
        self, tasks: Iterator[tuple[int, Task]], stopped: Callable[[], bool]
    ) -> Iterator[tuple[int, Result | ToolkitError]]:
        if self._pool is None:
            raise InputError("workers are used inside of their context")
        running: dict[Future[Result], int] = {}
        more = True
        while more or running:
            while more and len(running) < self._count + 1:
                item = None if stopped() else next(tasks, None)
                if item is None:
                    more = False
                    break
                running[self._pool.submit(run_task, item[1])] = item[0]
            done, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), _outcome(future)

    def pack(self, model: Model) -> None:
        del model

    def packed(self, models: dict[int, Model]) -> dict[int, Model | PackedModel]:
        return dict(models)


def _outcome(future: Future[Result]) -> Result | ToolkitError:
    try:
        return future.result()
    except ToolkitError as error:
        return error
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, perhaps for want of memory", "Use fewer --jobs, or less --memory."
        ) from error


def _begin() -> None:
    """In a worker: Ctrl-C goes to all processes of a terminal, and only the first is to act on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
