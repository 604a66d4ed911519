"""Cells of the comparison, and their measurement in turns with the machine's peak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from native_engine.peak import Peak

from toolkit.artifact import Artifact
from toolkit.precisions import Precision
from toolkit.profiling.measuring.messages import Open
from toolkit.profiling.measuring.schedule import Measurement, Pace, measure
from toolkit.system.hardware import usable_cpus
from toolkit.system.progress import Progress
from toolkit.workloads import Shape

OTHERS: dict[Precision, tuple[str, ...]] = {
    "fp32": ("openvino", "ort-cpu"),
    "bf16": ("openvino",),
    "int8": ("openvino", "ort-cpu"),
}
"""ONNX Runtime has no convolution in bf16 for CPUs."""


@dataclass(frozen=True)
class Cell:
    """One runtime, precision and number of threads."""

    runtime: str
    precision: Precision
    threads: int

    def asked(self, artifact: Artifact, shape: Shape) -> Open:
        return Open(self.runtime, str(artifact.path), self.precision, *shape.sides, self.threads)


def thread_counts() -> list[int]:
    """One and two, as far as there are CPUs."""
    return [count for count in (1, 2) if count <= usable_cpus()]


def in_turns(
    requests: Sequence[Open],
    seconds: float,
    peak: Peak,
    threads: int,
    between: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """Measure cells, and the peak of this many threads before every turn of a cell; samples from before are forgotten.

    Args:
        requests: one per cell.
        seconds: of measuring per cell.
        peak: its samples are then those between these frames.
        threads: of all cells.
        between: called after every round, for what else is compared.
    """
    peak.clear()

    def turn(progress: Progress) -> None:
        if progress.seconds_left is not None:  # else a cell is loaded
            peak.sample(threads)

    return measure(requests, Pace(seconds), turn, keep=lambda _: between())
