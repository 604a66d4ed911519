"""Workers on a Ray cluster. Ray queues the tasks, places them, and retries them after failures."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from toolkit.errors import InputError, Unavailable
from toolkit.media.failure import Failure
from toolkit.media.packed import PackedSubject
from toolkit.media.tasks import Result, Task, attempt_task, source_of
from toolkit.runtimes.subject import Subject
from toolkit.system.extras import how_to_install

_RETRIES = 3
_POLL = 0.5
_ANSWER_SECONDS = 5
_AHEAD = 2
"""Tasks submitted per CPU: enough to keep all CPUs busy, few enough to lose little work when the run is stopped."""


class RayWorkers:
    """Runs tasks as Ray tasks, each with as many CPUs as the runtime has threads.

    A task whose worker or machine dies runs again on another. All machines must see the files under the same paths;
    networks are sent with the tasks, and encoded segments are returned as values.
    """

    def __init__(self, address: str, threads: int) -> None:
        """Raises Unavailable where Ray is not installed."""
        try:
            import ray
        except ImportError as error:
            raise Unavailable(f"Ray cannot be imported: {error}", how_to_install("ray")) from error
        self._ray: Any = ray
        self._address = address
        self.threads = threads or 1
        self._ours = False

    def __enter__(self) -> Self:
        if not self._ray.is_initialized():
            settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
            if self._address == "local":
                settings |= {"include_dashboard": False, "address": "local"}
            else:
                settings |= {"address": self._address}
            try:
                _check_reachable(self._address)
                self._ray.init(**settings)
            except (OSError, RuntimeError, ValueError) as error:
                raise Unavailable(
                    f"there is no Ray cluster at {self._address}: {error}", "Start one: `ray start --head`."
                ) from error
            self._ours = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            self._ray.shutdown()

    def results(
        self, tasks: Iterator[tuple[int, Task]], stopped: Callable[[], bool]
    ) -> Iterator[tuple[int, Result | Failure]]:
        remote = self._ray.remote(num_cpus=self.threads, max_retries=_RETRIES)(attempt_task)
        running: dict[Any, tuple[int, Task]] = {}
        more = True
        while more or running:
            most = max(1, int(self._ray.cluster_resources().get("CPU", 1)) // self.threads) * _AHEAD
            while more and len(running) < most:
                item = None if stopped() else next(tasks, None)
                if item is None:
                    more = False
                    break
                running[remote.remote(item[1])] = item
            done, _ = self._ray.wait(list(running), timeout=_POLL) if running else ([], [])
            for reference in done:
                index, task = running.pop(reference)
                yield index, self._outcome(reference, task)

    def pack(self, subject: Subject) -> PackedSubject:
        return PackedSubject.of(subject)

    def packed(self, subjects: dict[int, Subject]) -> dict[int, Subject | PackedSubject]:
        return {scale: PackedSubject.of(subject) for scale, subject in subjects.items()}

    def _outcome(self, reference: Any, task: Task) -> Result | Failure:
        try:
            outcome: Result | Failure = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            source = source_of(task)
            lost = InputError(
                f"{source}: a task failed on the cluster {_RETRIES + 1} times: {error}",
                "See Ray's logs on its machines.",
            )
            lost.__cause__ = error
            return Failure.of(lost, source)
        return outcome


def _check_reachable(address: str) -> None:
    """Connect once before Ray does, which waits for minutes if there is no answer.

    Raises:
        OSError: there is no answer.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
