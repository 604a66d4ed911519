"""Graceful shutdown: SIGINT (Ctrl-C) and SIGTERM let the current unit of work finish."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it."""


_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_TOGETHER = 2.0
"""Seconds in which signals count as one: torchrun's processes get Ctrl-C from the terminal and from torchrun."""


@dataclass
class Shutdown:
    """Whether a shutdown was requested. Work checks it between two of its units."""

    requested: bool = False


@contextmanager
def graceful_shutdown() -> Iterator[Shutdown]:
    """Record the first signal; a later one interrupts at once. Outside the main thread signals are not handled.

    Signals that the process was started to ignore, as shells do for background jobs, are still ignored.

    Raises:
        KeyboardInterrupt: at a second signal, more than two seconds after the first.
    """
    shutdown = Shutdown()
    if threading.current_thread() is not threading.main_thread():
        yield shutdown
        return
    first = math.inf

    def request(_number: int, _frame: FrameType | None) -> None:
        nonlocal first
        first = min(first, time.monotonic())
        shutdown.requested = True
        if time.monotonic() - first > _TOGETHER:
            raise KeyboardInterrupt

    handled = (number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN)
    before = {number: signal.signal(number, request) for number in handled}
    try:
        yield shutdown
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_on_sigterm() -> None:
    """Let SIGTERM raise SystemExit, so that worker processes are ended and temporary files are removed."""
    signal.signal(signal.SIGTERM, _exit)


def ignore_interrupts() -> None:
    """For worker processes: a terminal sends Ctrl-C to all processes, and only the main process acts on it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
