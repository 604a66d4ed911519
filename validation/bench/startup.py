"""Time that the command line takes to answer: the help of each command, and its refusal of a missing file.

    python validation/bench/startup.py

Prints the median wall-clock seconds of several runs, and the CPU seconds, which do not depend on what else the machine
does. `python -c pass` is the time that Python itself takes, `polygraphy --help` that of a comparable tool: one machine
takes three times as long as another, so these are what to compare with.
"""

from __future__ import annotations

import importlib
import inspect
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from toolkit.cli import _COMMANDS

RUNS = 5
TOOLKIT, POLYGRAPHY = (str(Path(sys.executable).with_name(name)) for name in ("toolkit", "polygraphy"))
_VALUES = {"precision": "fp16"}
"""Of required options that are not paths."""
_OPTIONAL = {"data"}
"""Options that name files and have a default, of commands without arguments."""


def missing_file(command: str) -> list[str]:
    """Arguments of a command with which it reads files that do not exist; empty if it reads none."""
    module = command.replace("-", "_")
    function = getattr(importlib.import_module(f"toolkit.cli.{module}"), module)
    arguments = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            arguments.append("missing.onnx")
        elif parameter.default is parameter.empty or name in _OPTIONAL:
            arguments += [f"--{name}", _VALUES.get(name, "missing")]
    return arguments


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
        print(f"{'polygraphy':24}{cell([POLYGRAPHY, '--help'], 0):>16}")
        print(f"{'toolkit':24}{cell([TOOLKIT, '--help'], 0):>16}")
        for name in (name for commands in _COMMANDS.values() for name in commands):
            arguments = missing_file(name)
            refusal = cell([TOOLKIT, name, *arguments], 2) if arguments else ""
            print(f"{name:24}{cell([TOOLKIT, name, '--help'], 0):>16}{refusal:>16}")


if __name__ == "__main__":
    main()
