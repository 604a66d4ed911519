"""Client of a worker process: starts it, sends requests, and reports how it ended."""

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
from toolkit.runtimes.reported import LayerTime

Expected = TypeVar("Expected", Opened, Timed, Produced, LayersTimed, Saved, Stopped)

CELL_TIMEOUT = 300.0
"""Seconds that a worker may take for one reply: loading and running the first frame, or a block of frames."""

_EXIT_SECONDS = 5.0
_TRACE_SECONDS = 0.3
_SUMMARY_LENGTH = 300


class CellFailed(ToolkitError):
    """A worker refused a request, crashed or timed out."""


class Worker:
    """A process that holds one session; a context manager that ends the process whatever its state."""

    def __init__(self, timeout: float = CELL_TIMEOUT) -> None:
        self._timeout, self._timed_out = timeout, False
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "toolkit.profiling.measuring.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
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
        self._stderr.close()

    def _ask(self, request: Request, expected: type[Expected]) -> Expected:
        """Send a request and wait for the reply.

        Raises:
            CellFailed: the worker refused the request, crashed, or did not reply in time and was ended; the message
                contains a crash summary.
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
            raise CellFailed(self._exit_reason())
        return reply

    def _exchange(self, request: Request) -> Reply | None:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            return None
        try:
            send(stdin, request)
            reply: Reply | None = receive(stdout, Reply)
        except (BrokenPipeError, msgspec.DecodeError):
            return None  # it crashed, possibly in the middle of a reply
        return reply

    def _end_hanging(self) -> None:
        """Have the worker dump its stack, then kill it; `_exchange`, which waits for its reply, then returns None."""
        self._timed_out = True
        if hasattr(signal, "SIGUSR1"):
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(_TRACE_SECONDS)
        self._process.kill()

    def _exit_reason(self) -> str:
        try:
            code = self._process.wait(timeout=_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._stderr.seek(0)
        summary = crash_summary(self._stderr.read().decode(errors="replace"))
        if self._timed_out:
            return f"no reply within {self._timeout:g} s, the worker process was ended: {summary}"
        return f"the worker process ended ({_cause(code)}): {summary}"


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = next((member.name for member in signal.Signals if member.value == -code), "unknown")
    return f"signal {-code}, {name}" + (", possibly out of memory" if name == "SIGKILL" else "")


def crash_summary(text: str) -> str:
    """Summarise the stderr of a crashed process in one line.

    The fatal error and the innermost Python frame, if `faulthandler` printed a stack; otherwise the last line.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "nothing on stderr"
    fatal = next((line for line in lines if line.startswith("Fatal Python error")), "")
    # faulthandler prints every thread, innermost frame first, and marks the current one.
    stacks = [index for index, line in enumerate(lines) if "most recent call first" in line]
    if not stacks:
        return (fatal or lines[-1])[:_SUMMARY_LENGTH]
    start = next((index for index in stacks if lines[index].startswith("Current thread")), stacks[-1])
    frames = (re.fullmatch(r'File "(.*)", line (\d+) in (.*)', line) for line in lines[start + 1 :])
    places = [f"{Path(frame[1]).name}:{frame[2]} in {frame[3]}" for frame in frames if frame is not None]
    place = f"at {places[0]}" if places else ""
    return ", ".join(part for part in (fatal, place) if part)[:_SUMMARY_LENGTH] or lines[-1][:_SUMMARY_LENGTH]
