"""The most that this machine can do, measured between the frames that are compared with it."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from toolkit.native.compiler import require_compiler
from toolkit.native.targets import find_target
from toolkit.system.hardware import Ceiling


class Peak:
    """Samples of the rates of `peak.cpp`; a context manager.

    A neighbour on the machine or a lower clock rate slows samples and frames alike, so both must be measured in turns:
    call `sample` between the frames. On other CPUs than x86 there are no samples.
    """

    def __init__(self) -> None:
        self._names = ["fp32", *sorted(find_target("native").fast), "bytes"]
        self._samples: dict[str, list[float]] = {}
        self._stack = ExitStack()
        self._asked: IO[str] | None = None
        self._answers: IO[str] | None = None

    def __enter__(self) -> Self:
        target = find_target("native")
        if target.machine != "x86_64":
            return self
        program = Path(self._stack.enter_context(tempfile.TemporaryDirectory())) / "peak"
        source = Path(__file__).with_name("peak.cpp")
        command = [require_compiler().path, "-std=c++17", "-O2", "-pthread", *target.options, source, "-o", program]
        subprocess.run(command, check=True)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = self._stack.enter_context(subprocess.Popen([program], text=True, **pipes))
        self._asked, self._answers = process.stdin, process.stdout
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()  # closes the program's standard input, at whose end it ends

    def clear(self) -> None:
        """Forget all samples: what follows is compared with other frames."""
        self._samples = {}

    def sample(self, threads: int) -> None:
        """Measure what this many threads do together, for some 50 milliseconds."""
        if self._asked is None or self._answers is None:
            return
        print(threads, file=self._asked, flush=True)
        rates = map(float, self._answers.readline().split())
        for name, rate in zip(self._names, rates, strict=True):
            self._samples.setdefault(name, []).append(rate)

    def median(self) -> list[Ceiling]:
        """What a median of frame times is a share of; empty without samples."""
        return self._ceiling(statistics.median)

    def best(self) -> list[Ceiling]:
        """What the shortest frame time is a share of; empty without samples."""
        return self._ceiling(max)

    def _ceiling(self, pick: Callable[[list[float]], float]) -> list[Ceiling]:
        if not self._samples:
            return []
        rates = {name: float(pick(values)) for name, values in self._samples.items()}
        return [Ceiling("cpu", rates.pop("bytes"), rates, "peak.cpp, between the frames")]
