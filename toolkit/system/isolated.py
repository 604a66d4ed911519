"""Running Python code that may crash, hang or use too much memory in a separate process with limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Literal

import psutil

End = Literal["done", "failed", "crashed", "late", "large"]

_LONGEST_LINES = 1 << 16
"""Bytes that are read from a process at a time."""

_INTERVAL = 0.02
"""Seconds between two measurements of the process's memory."""


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        end: `done`; `failed`: with an exit code; `crashed`: by a signal; `late` or `large`: it was killed because it
            exceeded its time or memory limit.
        output: its standard output.
        reason: the last line of standard error, or the signal or limit; empty if done.
    """

    end: End
    output: str
    reason: str


def run_isolated(
    arguments: Sequence[str],
    given: bytes = b"",
    *,
    seconds: float,
    memory: int | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Ended:
    """Run Python with `arguments` in a separate process, and wait for its end.

    The working directory is not searched for modules, so that a file `numpy.py` in it is not imported.

    Args:
        arguments: after `python -P`; for instance `-c` and code, or `-m` and a module.
        given: standard input of the process.
        seconds: time limit.
        memory: limit in bytes for the resident memory of the process and its children together; None: no limit.
        on_line: called with every line that the process writes to standard error, while it runs.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(given)
        stdin.seek(0)
        process = psutil.Popen(
            [sys.executable, "-P", *arguments], stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
        try:
            limit = _wait(process, seconds, memory, _Lines(stderr, on_line))
        finally:
            _end(process)
        if limit is not None:
            return Ended(*limit)
        return _ended(process.wait(), _text(stdout), _text(stderr))


class _Lines:
    """Lines of a file that a process appends to, passed on once each."""

    def __init__(self, stream: IO[bytes], on_line: Callable[[str], None] | None) -> None:
        self._stream, self._position = stream, 0
        self.on_line = on_line

    def pass_on(self) -> None:
        """Pass on the lines that are complete."""
        if self.on_line is None:
            return
        # The position of the stream is shared with the process, which would write elsewhere if it were moved.
        new = os.pread(self._stream.fileno(), _LONGEST_LINES, self._position)
        for line in new[: new.rfind(b"\n") + 1].splitlines(keepends=True):
            self._position += len(line)
            self.on_line(line.decode(errors="replace").rstrip())


def _wait(process: psutil.Popen, seconds: float, memory: int | None, lines: _Lines) -> tuple[End, str, str] | None:
    """Wait for the end; returns the limit that was exceeded, if any."""
    deadline = time.monotonic() + seconds
    polled = memory is not None or lines.on_line is not None
    while True:
        try:
            process.wait(min(_INTERVAL, max(seconds, 0)) if polled else seconds)
            return None
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            lines.pass_on()
            if time.monotonic() >= deadline:
                return "late", "", f"it did not answer within {seconds:g} s"
        if memory is not None and (taken := _resident(process)) > memory:
            return "large", "", f"it used {taken / 2**30:.1f} GiB of memory, and {memory / 2**30:.1f} GiB are allowed"


def _resident(process: psutil.Popen) -> int:
    """Resident bytes of a process and its children."""
    total = 0
    try:
        for item in (process, *process.children(recursive=True)):
            total += item.memory_info().rss
    except psutil.NoSuchProcess:
        return total
    return total


def _end(process: psutil.Popen) -> None:
    """Kill a process and its children, whatever state they are in."""
    try:
        started = process.children(recursive=True)
    except psutil.NoSuchProcess:
        started = []
    for item in (*started, process):
        try:
            item.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def _ended(code: int, output: str, errors: str) -> Ended:
    if code < 0:
        return Ended("crashed", output, _signal_name(-code))
    lines = errors.strip().splitlines() or ["it printed no reason"]
    return Ended("failed", output, lines[-1]) if code else Ended("done", output, "")


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
