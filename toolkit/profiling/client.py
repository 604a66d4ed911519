"""The profiler's side of a worker process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from types import TracebackType
from typing import TypeVar

import msgspec

from toolkit.errors import ToolkitError
from toolkit.profiling.messages import Failed, Open, Opened, Reply, Request, Run, Stop, Stopped, Timed, receive, send

Expected = TypeVar("Expected", Opened, Timed, Stopped)


_DYING_SECONDS = 5.0


class CellFailed(ToolkitError):
    """A worker could not do what it was asked."""


class Worker:
    """A process for one session; a context manager that ends the process whatever it is doing."""

    def __init__(self) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  (closed in __exit__)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "toolkit.profiling.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
        )

    def open(self, request: Open) -> Opened:
        return self._ask(request, Opened)

    def run(self, frames: int) -> list[float]:
        return self._ask(Run(frames), Timed).seconds

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
            CellFailed: the worker refused, or died; with its last words.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        reply: Reply | None = None
        if stdin is not None and stdout is not None:
            try:
                send(stdin, request)
                reply = receive(stdout, Reply)
            except (BrokenPipeError, msgspec.DecodeError):
                reply = None  # it died, perhaps in the middle of a word
        if isinstance(reply, Failed):
            raise CellFailed(reply.reason, reply.remedy)
        if not isinstance(reply, expected):
            raise CellFailed(self._last_words())
        return reply

    def _last_words(self) -> str:
        try:
            code = self._process.wait(timeout=_DYING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        cause = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"its worker process ended ({cause}): {lines[-1][:200] if lines else 'it said nothing'}"
