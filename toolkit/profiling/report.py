"""The result of a profile as data, JSON and CSV."""

from __future__ import annotations

import csv
import io
from typing import Literal

import msgspec

from toolkit.artifact import Precision, encode
from toolkit.profiling.environment import Environment
from toolkit.profiling.statistics import Statistics
from toolkit.runtimes.engine import SUFFIX

SCHEMA = 1


class CellReport(msgspec.Struct, frozen=True):
    """One cell: what was asked for and either `reason`, why it did not run, or what was measured.

    `executed` counts nodes per precision that really ran, as the runtime tells. `speed_up` is the median of the unfused
    PyTorch baseline of the same network and workload, divided by this cell's. Memory is the peak of the whole process.
    `artifact` names what ran: an artifact, or an engine bundle (`*.engine`). `note` says what a reader may miss.
    """

    runtime: str
    workload: str
    precision: Precision
    artifact: str
    io: str
    reason: str = ""
    statistics: Statistics | None = None
    frames_per_second: float | None = None
    speed_up: float | None = None
    load_seconds: float | None = None
    warm_up_frames: int | None = None
    peak_bytes: int | None = None
    executed: dict[str, int] | None = None
    seconds: tuple[float, ...] = ()
    note: str = ""

    @property
    def is_engine(self) -> bool:
        """Whether an engine bundle ran, and not an artifact."""
        return self.artifact.endswith(SUFFIX)


class ProfileReport(msgspec.Struct, frozen=True):
    """A whole profile. Times are in seconds, from host memory to host memory."""

    environment: Environment
    threads: int
    duration: float
    cells: tuple[CellReport, ...]
    boundary: Literal["host"] = "host"
    schema: int = SCHEMA

    def to_json(self) -> str:
        return encode(self).decode()

    def to_csv(self) -> str:
        """One line a cell, times in milliseconds."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(_csv_row(self.cells[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_csv_row(cell) for cell in self.cells)
        return stream.getvalue()


def _csv_row(cell: CellReport) -> dict[str, object]:
    times = cell.statistics
    milliseconds = {
        f"{name}_ms": None if times is None else round(getattr(times, name) * 1000, 3)
        for name in ("median", "p90", "p95", "p99", "minimum")
    }
    return {
        "workload": cell.workload,
        "runtime": cell.runtime,
        "precision": cell.precision,
        "executed": " ".join(f"{precision}:{nodes}" for precision, nodes in (cell.executed or {}).items()),
        "artifact": cell.artifact,
        "trials": None if times is None else times.trials,
        **milliseconds,
        "frames_per_second": cell.frames_per_second,
        "peak_bytes": cell.peak_bytes,
        "load_seconds": cell.load_seconds,
        "speed_up": cell.speed_up,
        "reason": cell.reason,
        "note": cell.note,
    }
