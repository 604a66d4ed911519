"""Runs commands of the toolkit, each in a fork of a process that has imported everything and computed nothing.

A command that is started anew spends most of its time on importing PyTorch, ONNX and runtimes. `python -P
tests/fork_server.py` reads requests from standard input, one JSON line each, and answers each with the exit code.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

SECONDS = 300
"""Time limit of a command."""


class ForkServer:
    """The process, from the outside."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, arguments: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run(["toolkit", *arguments])` returns, with the environment and directory of the caller.

        Raises:
            TimeoutExpired: the command did not end in time.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with tempfile.TemporaryDirectory() as directory:
            streams = [Path(directory) / name for name in ("stdout", "stderr")]
            request = {
                "arguments": list(arguments),
                "directory": str(cwd or Path.cwd()),
                "environment": dict(os.environ),
                "streams": list(map(str, streams)),
            }
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            output, errors = (path.read_text() for path in streams)
        if code == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(["toolkit", *arguments], SECONDS, output, errors)
        return subprocess.CompletedProcess(["toolkit", *arguments], code, output, errors)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def _main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(request: dict[str, Any]) -> None:
    """In the fork: never returns."""
    signal.alarm(SECONDS)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, path in enumerate((os.devnull, *request["streams"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.stdin = Path(os.devnull).open()  # noqa: SIM115  (requests may be in the buffer of the other)
    # Processes that a command spawns import the main module, which would be this one, and with it everything.
    sys.modules["__main__"] = ModuleType("__main__")
    sys.argv = ["toolkit", *request["arguments"]]
    code = 0
    try:
        from toolkit.cli import main

        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001  (shown as Python shows it)
        traceback.print_exc()
        code = 1
    threading._shutdown()  # what the interpreter does as it ends
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import av  # noqa: F401
    import onnx.reference  # noqa: F401
    import onnxruntime  # noqa: F401
    import onnxscript  # noqa: F401
    import openvino  # noqa: F401
    import torch._dynamo
    import torch.onnx  # noqa: F401

    import toolkit.graph.adoption.adopt
    import toolkit.graph.export
    import toolkit.media.upscale
    import toolkit.network.checkpoint
    import toolkit.profiling.profile
    import toolkit.quality.conversion
    import toolkit.quality.evaluation
    import toolkit.quality.tuning
    import toolkit.verification.fusion  # noqa: F401

    sys.path.append(str(Path(__file__).parent))
    from forked_workers import fork_workers
    from kept_traces import keep_traces

    sys.path.pop()
    fork_workers()
    keep_traces()
    _main()
