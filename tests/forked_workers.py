"""Workers of profiles, each a fork of a process that has imported what workers import: PyTorch alone takes seconds.

`python -P tests/forked_workers.py SOCKET` forks a worker for each connection. A connection carries the standard streams
of the worker, and its environment, directory and CPUs as one JSON line; back come its process id and its exit code, one
line each. Where the environment names no socket, or has another search path for modules, a worker is a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, NoReturn

SOCKET = "RT4KSR_TEST_WORKERS"
"""Environment variable: the path of the socket."""

_PATH = os.environ.get("PYTHONPATH")


def fork_workers() -> None:
    """Make profiles of this process fork their workers."""
    from toolkit.profiling.measuring import client

    client.subprocess = SimpleNamespace(  # type: ignore[assignment]
        Popen=_started, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired
    )


def _started(command: list[str], *, stdin: int, stdout: int, stderr: IO[bytes]) -> ForkedWorker | subprocess.Popen:
    path = os.environ.get(SOCKET)
    if path is None or os.environ.get("PYTHONPATH") != _PATH:
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr)
    return ForkedWorker(path, command, stderr)


class ForkedWorker:
    """A worker, with what its client uses of `subprocess.Popen`."""

    def __init__(self, path: str, command: list[str], stderr: IO[bytes]) -> None:
        self._command, self._code = command, None
        requests, stdin = os.pipe()
        stdout, replies = os.pipe()
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        socket.send_fds(connection, [b"\n"], [requests, replies, stderr.fileno()])
        connection.sendall(json.dumps([dict(os.environ), str(Path.cwd()), [*os.sched_getaffinity(0)]]).encode() + b"\n")
        os.close(requests)
        os.close(replies)
        self.stdin, self.stdout = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")
        self._connection = connection
        self._answers = connection.makefile("r")
        self.pid = int(self._answers.readline())

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._command, timeout or 0)
            self._code = int(self._answers.readline())
        return self._code

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        if self._code is None:
            self.send_signal(signal.SIGKILL)

    def communicate(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self.stdout.close()
        self.wait()
        self._answers.close()
        self._connection.close()


@contextlib.contextmanager
def worker_server() -> Iterator[str]:
    """The path of the socket of a process that forks; it ends with the block."""
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "socket")
        command = [sys.executable, "-P", __file__, path]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdout.readline()
            yield path
            process.stdin.close()


def _serve(path: str) -> None:
    """Until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _watch(connection)
            connection.close()


def _watch(connection: socket.socket) -> NoReturn:
    """Fork the worker, and say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, *_ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("r") as request:
        environment, directory, cpus = json.loads(request.readline())
    worker = os.fork()
    if worker == 0:
        connection.close()
        os.sched_setaffinity(0, cpus)
        _work(streams, environment, directory)
    for stream in streams:
        os.close(stream)
    connection.sendall(f"{worker}\n".encode())
    _, status = os.waitpid(worker, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _work(streams: list[int], environment: dict[str, str], directory: str) -> NoReturn:
    from toolkit.profiling.measuring.worker import main

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
    code = 0
    try:
        main()
    except BaseException:  # noqa: BLE001  (shown as Python shows it)
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import onnxruntime  # noqa: F401
    import openvino  # noqa: F401
    import torch  # noqa: F401

    import toolkit.graph.source
    import toolkit.network.checkpoint
    import toolkit.profiling.measuring.worker
    import toolkit.runtimes.pytorch.program
    import toolkit.runtimes.subject  # noqa: F401

    _serve(sys.argv[1])
