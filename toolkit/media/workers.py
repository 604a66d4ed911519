"""Worker processes on this machine, and the protocol of workers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Protocol, Self

from toolkit.errors import InputError, ToolkitError, UnexpectedError
from toolkit.media.failure import Failure
from toolkit.media.packed import PackedSubject
from toolkit.media.tasks import ImageTask, Result, Task, attempt_task, source_of
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import remove_temporaries
from toolkit.system.shutdown import ignore_interrupts

_POLL = 0.2

_Job = tuple[int, Task]


class Workers(Protocol):
    """Runs tasks in any order.

    Attributes:
        threads: of the runtime in each worker; 0: all CPUs that the worker may use.
    """

    threads: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def results(
        self, tasks: Iterator[tuple[int, Task]], stopped: Callable[[], bool]
    ) -> Iterator[tuple[int, Result | Failure]]:
        """Results in the order in which tasks end, with their numbers. After a stop, of the tasks that had begun."""
        ...

    def pack(self, subject: Subject) -> PackedSubject | None:
        """What is sent to workers instead of a subject's path; None if they can read the files of this machine."""
        ...

    def packed(self, subjects: dict[int, Subject]) -> dict[int, Subject | PackedSubject]: ...


class LocalWorkers:
    """A pool of processes."""

    def __init__(self, count: int, threads: int) -> None:
        self.threads, self._count = threads, count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        self._pool = self._begin_pool()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            processes = _processes(self._pool)
            self._pool.shutdown(wait=error is None, cancel_futures=True)
            for process in processes if error is not None else []:
                process.terminate()

    def _begin_pool(self) -> ProcessPoolExecutor:
        # Not forked: runtimes have threads.
        return ProcessPoolExecutor(self._count, get_context("spawn"), ignore_interrupts)

    def results(
        self, tasks: Iterator[tuple[int, Task]], stopped: Callable[[], bool]
    ) -> Iterator[tuple[int, Result | Failure]]:
        if self._pool is None:
            raise InputError("workers must be used as a context manager")
        running: dict[Future[Result | Failure], _Job] = {}
        more = True
        while more or running:
            while more and len(running) < self._count + 1:
                item = None if stopped() else next(tasks, None)
                if item is None:
                    more = False
                    break
                running[self._submit(item[1])] = item
            done, _ = wait(running, timeout=_POLL, return_when=FIRST_COMPLETED)
            if any(_crashed(future) for future in done):
                yield from self._after_crash(running)
                running.clear()
                continue
            for future in done:
                yield running.pop(future)[0], future.result()

    def _submit(self, task: Task) -> Future[Result | Failure]:
        if self._pool is None:
            raise InputError("workers must be used as a context manager")
        try:
            return self._pool.submit(attempt_task, task)
        except BrokenProcessPool as error:
            # The pool has just broken: this task runs again, with those that were running at that time.
            future: Future[Result | Failure] = Future()
            future.set_exception(error)
            return future

    def _after_crash(self, running: dict[Future[Result | Failure], _Job]) -> Iterator[tuple[int, Result | Failure]]:
        """Results after one of the running tasks has crashed its process, which ends the whole pool.

        It is not known which task it was. Those without a result run again one at a time, and one that crashes again is
        reported as failed.
        """
        wait(running)
        suspects = [job for future, job in running.items() if _crashed(future)]
        self._restart([task for _, task in suspects])
        for future, (index, _) in running.items():
            if not _crashed(future):
                yield index, future.result()
        for index, task in suspects:
            future = self._submit(task)
            wait([future])
            yield index, _crash_failure(task, self._restart([task])) if _crashed(future) else future.result()

    def _restart(self, tasks: list[Task]) -> int | None:
        """Replace the pool after a crash in one of `tasks`; returns the exit code of the process that crashed."""
        processes = [] if self._pool is None else _processes(self._pool)
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        for task in tasks:
            if isinstance(task, ImageTask):
                remove_temporaries(task.output, [process.pid for process in processes if process.pid])
        self._pool = self._begin_pool()
        # The pool ends its other processes with SIGTERM.
        codes = [process.exitcode for process in processes if process.exitcode not in (None, 0, -signal.SIGTERM)]
        return codes[0] if codes else None

    def pack(self, subject: Subject) -> None:
        del subject

    def packed(self, subjects: dict[int, Subject]) -> dict[int, Subject | PackedSubject]:
        return dict(subjects)


def _crashed(future: Future[Result | Failure]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _processes(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    """Processes of a pool, which has no record of them after it breaks or shuts down."""
    return list((pool._processes or {}).values())


def _crash_failure(task: Task, code: int | None) -> Failure:
    """The failure of a task whose worker process ended."""
    source = source_of(task)
    if code == -signal.SIGKILL:
        error: ToolkitError = InputError(
            f"{source}: its worker process was killed, perhaps because memory ran out",
            "Use fewer --jobs, or less --memory.",
        )
    else:
        name = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        error = UnexpectedError(
            f"{source}: its worker process crashed ({name})",
            "This is a bug in the toolkit or in a library that it uses: please report it, with the file if possible.",
        )
    return Failure.of(error, source)
