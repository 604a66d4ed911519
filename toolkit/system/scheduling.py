"""Keeps the scheduling of this process as it is while a library is called that changes it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextmanager
def unchanged_scheduling() -> Iterator[None]:
    """Restore the scheduling of the calling thread, and give it to the threads that start meanwhile.

    Where it may, as root in a container, SVT-AV1 gives its threads and the thread that opens it real-time priority:
    they, and every process that is started afterwards, then run before all other processes of the machine.
    """
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    before = _threads()
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
        for thread in _threads() - before:
            with suppress(ProcessLookupError):  # it has ended
                os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(item.name) for item in _THREADS.iterdir()} if _THREADS.is_dir() else set()
