"""The profiler's side of a worker process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

from toolkit.errors import ToolkitError
from toolkit.profiling.measuring.messages import (
    Concurrent,
    Failed,
    Layers,
    LayersTimed,
    Open,
    Opened,
    Produced,
    Reply,
    Request,
    Result,
    Run,
    Saved,
    Stop,
    Stopped,
    Timed,
    receive,
    send,
)
from toolkit.runtimes.protocol import LayerTime

Expected = TypeVar("Expected", Opened, Timed, Produced, LayersTimed, Saved, Stopped)

CELL_TIMEOUT = 300.0
"""Seconds that a worker may take for one answer: loading with the first frame, or a block of frames."""

_DYING_SECONDS = 5.0
_TRACE_SECONDS = 0.3
_LONGEST_WORDS = 300


class CellFailed(ToolkitError):
    """A worker could not do what it was asked."""


class Worker:
    """A process for one session; a context manager that ends the process whatever it is doing."""

    def __init__(self, timeout: float = CELL_TIMEOUT) -> None:
        self._timeout, self._timed_out = timeout, False
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "toolkit.profiling.measuring.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def age(self) -> float:
        """Seconds since the process was started."""
        return time.perf_counter() - self._started

    def open(self, request: Open) -> Opened:
        return self._ask(request, Opened)

    def run(self, frames: int) -> Timed:
        return self._ask(Run(frames), Timed)

    def concurrent(self, streams: int, seconds: float) -> Produced:
        return self._ask(Concurrent(streams, seconds), Produced)

    def layers(self, frames: int) -> list[LayerTime]:
        return self._ask(Layers(frames), LayersTimed).layers

    def save(self, path: Path) -> None:
        self._ask(Result(str(path)), Saved)

    def stop(self) -> Stopped:
        return self._ask(Stop(), Stopped)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._words.close()

    def _ask(self, request: Request, expected: type[Expected]) -> Expected:
        """Send a request and wait for the reply.

        Raises:
            CellFailed: the worker refused, or died, or hung and was ended; with its last words.
        """
        watchdog = threading.Timer(self._timeout, self._end_hanging)
        watchdog.start()
        try:
            reply = self._exchange(request)
        finally:
            watchdog.cancel()
        if isinstance(reply, Failed):
            raise CellFailed(reply.reason, reply.remedy)
        if not isinstance(reply, expected):
            raise CellFailed(self._obituary())
        return reply

    def _exchange(self, request: Request) -> Reply | None:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            return None
        try:
            send(stdin, request)
            reply: Reply | None = receive(stdout, Reply)
        except (BrokenPipeError, msgspec.DecodeError):
            return None  # it died, perhaps in the middle of a word
        return reply

    def _end_hanging(self) -> None:
        """Have it say where it is, and end it: whoever waits for its reply then sees the end of the stream."""
        self._timed_out = True
        if hasattr(signal, "SIGUSR1"):
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(_TRACE_SECONDS)
        self._process.kill()

    def _obituary(self) -> str:
        try:
            code = self._process.wait(timeout=_DYING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._words.seek(0)
        words = last_words(self._words.read().decode(errors="replace"))
        if self._timed_out:
            return f"it gave no answer within {self._timeout:g} s and was ended: {words}"
        return f"its worker process ended ({_cause(code)}): {words}"


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = next((member.name for member in signal.Signals if member.value == -code), "unknown")
    return f"signal {-code}, {name}" + (", perhaps for lack of memory" if name == "SIGKILL" else "")


def last_words(text: str) -> str:
    """What a process said at its end: its fatal error, and the innermost Python frame where there is a trace of one;
    else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    fatal = next((line for line in lines if line.startswith("Fatal Python error")), "")
    # Written by faulthandler: every thread from its innermost frame outwards, and which of them is the current one.
    stacks = [index for index, line in enumerate(lines) if "most recent call first" in line]
    if not stacks:
        return (fatal or lines[-1])[:_LONGEST_WORDS]
    start = next((index for index in stacks if lines[index].startswith("Current thread")), stacks[-1])
    frames = (re.fullmatch(r'File "(.*)", line (\d+) in (.*)', line) for line in lines[start + 1 :])
    places = [f"{Path(frame[1]).name}:{frame[2]} in {frame[3]}" for frame in frames if frame is not None]
    place = f"at {places[0]}" if places else ""
    return ", ".join(part for part in (fatal, place) if part)[:_LONGEST_WORDS] or lines[-1][:_LONGEST_WORDS]
