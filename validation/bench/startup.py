"""Time that the command line takes to answer: the help of each command, and its refusal of a missing file.

    python validation/bench/startup.py

Prints the median wall-clock seconds of several runs, and the CPU seconds, which do not depend on what else the machine
does. `python -c pass` is the time that Python itself takes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 5
TOOLKIT = str(Path(sys.executable).with_name("toolkit"))
MISSING = {
    "upscale": ["missing.png"],
    "export": ["missing.pth"],
    "adopt": ["missing.onnx"],
    "verify-fusion": ["missing.onnx"],
    "profile": ["missing.onnx"],
    "report": ["missing.json"],
    "gate": ["missing.json", "--against", "missing.json"],
    "convert": ["missing.onnx", "--precision", "fp16"],
    "build": ["missing.onnx", "--runtime", "openvino"],
    "evaluate": ["missing.onnx", "--images", "missing"],
    "rank": ["missing.onnx", "--images", "missing"],
    "compare": ["missing.onnx", "missing.pth@float64"],
    "tune": ["missing.onnx", "--precision", "fp16"],
    "train": ["--data", "missing"],
    "ablate": ["--data", "missing", "--images", "missing"],
    "inspect": ["missing.onnx"],
}
"""Arguments of each command that reads files: one of them does not exist."""


def seconds(command: list[str], directory: str, code: int) -> tuple[float, float]:
    """Median wall-clock and CPU seconds of a command, which must exit with `code`."""
    walls, cpus = [], []
    for _ in range(RUNS):
        before, begin = os.times(), time.perf_counter()
        done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
        walls.append(time.perf_counter() - begin)
        after = os.times()
        cpus.append(after.children_user + after.children_system - before.children_user - before.children_system)
        if done.returncode != code:
            raise SystemExit(f"{' '.join(command)} exited with {done.returncode}:\n{done.stderr.decode()}")
    return statistics.median(walls), statistics.median(cpus)


def main() -> None:
    """Print one line per command."""
    print(f"{'seconds: wall (CPU)':24}{'--help':>16}{'missing file':>16}")
    with tempfile.TemporaryDirectory() as directory:

        def cell(command: list[str], code: int) -> str:
            wall, cpu = seconds(command, directory, code)
            return f"{wall:.2f} ({cpu:.2f})"

        print(f"{'python -c pass':24}{cell([sys.executable, '-c', 'pass'], 0):>16}")
        print(f"{'toolkit':24}{cell([TOOLKIT, '--help'], 0):>16}")
        for name, arguments in MISSING.items():
            refusal = cell([TOOLKIT, name, *arguments], 2)
            print(f"{name:24}{cell([TOOLKIT, name, '--help'], 0):>16}{refusal:>16}")


if __name__ == "__main__":
    main()
