"""Ctrl-C and SIGTERM as a wish to stop soon, not as an exception somewhere."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


_TOGETHER = 2.0
"""Seconds in which signals count as one: of a Ctrl-C, torchrun's processes get the terminal's and torchrun's."""


@dataclass
class Stop:
    """Whether someone has asked to stop."""

    asked: bool = False


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """The first signal is noted; one that follows later interrupts. Outside of the main thread signals stay alone.

    Those that the process was started to ignore, as shells start jobs in the background, are still ignored.

    Raises:
        KeyboardInterrupt: somebody insists.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    first = math.inf

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal first
        first = min(first, time.monotonic())
        stop.asked = True
        if time.monotonic() - first > _TOGETHER:
            raise KeyboardInterrupt

    heard = (number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN)
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
