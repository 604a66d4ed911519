"""Stopping a command: nothing is left behind, and nobody is shown a traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from toolkit.artifact import Artifact

COMMAND = Path(sys.executable).with_name("toolkit")

_INTERRUPTED_AT = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

module = sys.argv.pop(1)
sys.meta_path.insert(0, Interrupting())
from toolkit.cli import main
main()
"""


@pytest.mark.parametrize("module", ["cyclopts", "toolkit.cli.doctor", "rich.table", "numpy", "onnxruntime", "openvino"])
def test_ctrl_c_in_the_first_moments_shows_no_traceback(module: str) -> None:
    """At the import of a module, for which a fraction of a second after the start there is no better moment."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_AT, module, "doctor"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "interrupted\n"
    assert not done.stdout


def test_sigterm_ends_the_workers_of_profile(small_artifact: Artifact) -> None:
    """While they import PyTorch, which they would go on with."""
    command = [COMMAND, "profile", small_artifact.path, "--runtime", "torch,torch-unfused", "--workload", "64x64"]
    process = subprocess.Popen(
        [*map(str, command), "--duration", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        workers: list[psutil.Process] = []
        while len(workers) < 2:
            assert process.poll() is None
            workers = psutil.Process(process.pid).children()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGTERM)
        _, words = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
        assert "Traceback" not in words
        assert not [worker for worker in workers if worker.is_running()]
    finally:
        process.kill()
