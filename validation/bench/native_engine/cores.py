"""Cores that 4K at 60 frames per second takes: by calculation from one and two threads, and measured where there are
more."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from native_engine.cells import Cell, in_turns
from native_engine.networks import Lowered
from native_engine.peak import Peak

from toolkit.precisions import Precision
from toolkit.profiling.measuring.schedule import Measurement
from toolkit.system.hardware import usable_cpus
from toolkit.workloads import Workload

FRAME_SECONDS = 1 / 60
GAIN = 1.85
"""Of a second thread, at least."""


def scaling(measured: Mapping[Cell, Measurement]) -> list[str]:
    """What a second thread gains, and how many threads 60 frames per second take if that goes on."""
    lines = []
    for cell, one in measured.items():
        two = measured.get(Cell("native", cell.precision, 2))
        if cell.runtime != "native" or cell.threads != 1 or two is None or one.failure or two.failure:
            continue
        pairs = [(float(pick(one.seconds)), float(pick(two.seconds))) for pick in (np.median, np.min)]
        gains = ", ".join(f"{first / second:.2f}" for first, second in pairs)
        linear, sublinear = (" to ".join(dict.fromkeys(texts)) for texts in zip(*map(_threads, pairs), strict=True))
        lines += [
            f"{cell.precision:<9}  two threads are {gains} times as fast as one (medians, least; wanted {GAIN})",
            f"{cell.precision:<9}  60 frames/s take {linear} threads if scaling is linear, {sublinear} by Amdahl's law",
        ]
    return lines


def _threads(pair: tuple[float, float]) -> tuple[str, str]:
    """Threads for 60 frames per second, from seconds of a frame with one and with two."""
    one, two = pair
    if one <= FRAME_SECONDS:
        return "1", "1"
    parallel = min(2 * (one - two), one)  # a second thread that gains more than twofold leaves no sequential part
    rest = FRAME_SECONDS - (one - parallel)
    return str(math.ceil(one / FRAME_SECONDS)), str(math.ceil(parallel / rest)) if rest > 0 else "infinitely many"


def more_threads(artifacts: Lowered, workload: Workload, seconds: float, peak: Peak) -> list[str]:
    """Frames per second with more than two threads, and the fewest that reach 60; nothing on two CPUs."""
    counts = [2**power for power in range(2, 10) if 2**power < usable_cpus()]
    counts += [usable_cpus()] if usable_cpus() > 2 else []
    lines = []
    for precision, artifact in artifacts.items() if counts else ():
        cells = [Cell("native", precision, count) for count in counts]
        found = in_turns([cell.asked(artifact, workload.shape) for cell in cells], seconds, peak, counts[-1])
        lines.append(_reached(precision, dict(zip(counts, found, strict=True))))
    return lines


def _reached(precision: Precision, found: Mapping[int, Measurement]) -> str:
    seconds = {count: float(np.median(one.seconds)) for count, one in found.items() if not one.failure}
    rates = ", ".join(f"{count}: {1 / second:.1f}" for count, second in seconds.items())
    enough = [count for count, second in seconds.items() if second <= FRAME_SECONDS]
    goal = f"{enough[0]} threads reach 60" if enough else "60 is not reached"
    return f"{precision:<9}  frames/s by threads, {rates}; {goal}"
