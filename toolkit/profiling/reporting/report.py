"""The result of a profile as data, JSON and CSV.

`report_schema()` is the JSON Schema of report.json (`toolkit report --schema`). `SCHEMA` is its version: it grows when
a field is removed or changes its meaning; fields that are added have defaults.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import msgspec

from toolkit.artifact import Precision, encode
from toolkit.errors import InputError
from toolkit.graph.analysis.work import Work
from toolkit.kinds import ENGINE_SUFFIX
from toolkit.profiling.measuring.conditions import Conditions
from toolkit.profiling.measuring.environment import Environment
from toolkit.profiling.measuring.messages import Boundary
from toolkit.profiling.measuring.roofline import Roofline
from toolkit.profiling.measuring.schedule import Block
from toolkit.profiling.measuring.soundness import flaw
from toolkit.profiling.measuring.statistics import Interval, Statistics
from toolkit.quoting import csv_cell
from toolkit.runtimes.protocol import LayerTime, Stages
from toolkit.system.documents import MalformedDocument, from_json
from toolkit.system.hardware import Ceiling

SCHEMA = 3
"""In schema 2 sizes in the names of workloads had the height first."""


class Settings(msgspec.Struct, frozen=True):
    """How cells are measured: see `toolkit.profile`. In a report `threads` and `cpus` are what cells really had."""

    duration: float = 5.0
    threads: int = 0
    cpus: tuple[int, ...] = ()
    boundary: Boundary = "host"
    timing_precision: float = 0.02
    cell_timeout: float = 300.0
    streams: int = 1
    per_layer: bool = False
    builds: int = 1
    roofline: bool = True


class ColdStart(msgspec.Struct, frozen=True):
    """Seconds: `process`, from its start to the request to load (Python and the toolkit); `load`, to a session bound to
    its size, the runtime's import included; `first_frame`; `steady`, from the process's start to steady frames."""

    process: float
    load: float
    first_frame: float
    steady: float


class WarmUp(msgspec.Struct, frozen=True):
    """Frames after the first and before measuring, and whether the last of them were steady (`steady.py`)."""

    frames: int
    seconds: float
    steady: bool


class Memory(msgspec.Struct, frozen=True):
    """Bytes. Resident memory of the cell's process: `peak`; `before` it loaded anything; `loaded`, with weights and one
    frame run. `weights` as the graph stores them. `device`: of the process on the GPU, where that is told."""

    peak: int
    before: int
    loaded: int
    weights: int
    device: int | None = None

    @property
    def without_weights(self) -> int:
        """Peak less the weights."""
        return self.peak - self.weights


class Throughput(msgspec.Struct, frozen=True):
    """Frames per second of `streams` sessions at once, which share the cell's threads."""

    streams: int
    frames_per_second: float


class Build(msgspec.Struct, frozen=True):
    """One of several engines built of the same thing. `difference`: largest absolute difference of its output from that
    of the first build, for the frame that is timed, in the output's own units."""

    median: float
    interval: Interval | None
    difference: float


class CellReport(msgspec.Struct, frozen=True):
    """One cell: what was asked for and either `reason`, why it did not run, or what was measured.

    `executed` counts nodes per precision that really ran, as the runtime tells. `speed_up` is the median of the unfused
    PyTorch baseline of the same network and workload over this cell's, in the rounds that both measured. `artifact`
    names what ran: an artifact, or an engine bundle (`*.engine`); `sha256` is the artifact's. `spent` is the share of
    the network's gain over bicubic that the precision costs, as `toolkit evaluate --budget --record` measured it.
    `stages` are medians. The notes of throughput, layers and builds say why there is none of what was asked for.
    `finished` is false where a run was interrupted. `note` says what a reader may miss.
    """

    runtime: str
    workload: str
    precision: Precision
    artifact: str
    io: str
    sha256: str = ""
    reason: str = ""
    note: str = ""
    finished: bool = True
    statistics: Statistics | None = None
    frames_per_second: float | None = None
    speed_up: float | None = None
    speed_up_interval: Interval | None = None
    throughput: Throughput | None = None
    throughput_note: str = ""
    stages: Stages | None = None
    executed: dict[str, int] | None = None
    cold_start: ColdStart | None = None
    warm_up: WarmUp | None = None
    memory: Memory | None = None
    conditions: Conditions | None = None
    work: Work | None = None
    roofline: Roofline | None = None
    spent: float | None = None
    layers: tuple[LayerTime, ...] = ()
    layers_note: str = ""
    builds: tuple[Build, ...] = ()
    builds_note: str = ""
    blocks: tuple[Block, ...] = ()

    @property
    def is_engine(self) -> bool:
        """Whether an engine bundle ran, and not an artifact."""
        return self.artifact.endswith(ENGINE_SUFFIX)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What the same cell has in every report."""
        return self.workload, self.artifact, self.runtime, self.precision

    @property
    def name(self) -> str:
        """For people: an engine by its file, others by runtime and precision."""
        return self.artifact if self.is_engine else f"{self.runtime} {self.precision}"

    @property
    def seconds(self) -> tuple[float, ...]:
        """Of all frames, in order."""
        return tuple(second for block in self.blocks for second in block.seconds)

    @property
    def times(self) -> list[tuple[float, ...]]:
        """Seconds of frames, by block."""
        return [block.seconds for block in self.blocks]

    @property
    def peak_bytes(self) -> int | None:
        """Peak resident memory of the cell's process."""
        return None if self.memory is None else self.memory.peak

    @property
    def load_seconds(self) -> float | None:
        """From the request to load to the end of the first frame."""
        return None if self.cold_start is None else self.cold_start.load + self.cold_start.first_frame

    @property
    def arithmetic(self) -> str:
        """Precisions of the nodes that computed, most of them first; uint8 is only how images come and go."""
        executed = {name: count for name, count in (self.executed or {}).items() if name != "uint8"}
        return "+".join(sorted(executed, key=lambda name: -executed[name]))

    @property
    def differs(self) -> bool:
        """Whether it ran in another precision than was asked for."""
        return bool(self.executed) and self.precision not in (self.executed or {})


class ProfileReport(msgspec.Struct, frozen=True):
    """A whole profile. All times are in seconds, of a frame from one side of `settings.boundary` to the other.

    `begun` is UTC in ISO 8601; `command` is the exact command line, or empty; `complete` is false where the run was
    interrupted; `warnings` say what makes the numbers doubtful.
    """

    environment: Environment
    settings: Settings
    cells: tuple[CellReport, ...]
    begun: str = ""
    command: str = ""
    complete: bool = True
    warnings: tuple[str, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    schema: int = SCHEMA

    @property
    def threads(self) -> int:
        return self.settings.threads

    @property
    def boundary(self) -> Boundary:
        return self.settings.boundary

    def to_json(self) -> str:
        return encode(self).decode()

    def to_csv(self) -> str:
        """One line a cell, times in milliseconds."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_csv_row(_NO_CELL))
        for cell in self.cells:
            values = _csv_row(cell).values()
            writer.writerow([csv_cell(value) if isinstance(value, str) else value for value in values])
        return stream.getvalue()


def read_report(path: Path | str) -> ProfileReport:
    """A report that `toolkit profile` wrote.

    Raises:
        InputError: it is none, or of another version, or holds what cannot have been measured.
    """
    path = Path(path)
    remedy = "Give a report.json that `toolkit profile` wrote."
    try:
        content = path.read_bytes()
        document = from_json(content, object)
        schema = document.get("schema") if isinstance(document, dict) else None
        if isinstance(document, dict) and schema == 2:
            document = _from_schema_2(document)
        elif schema != SCHEMA:
            raise InputError(f"{path} has schema {schema}, this version reads 2 to {SCHEMA}", "Profile again.")
        report = msgspec.convert(document, ProfileReport)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", remedy) from error
    except (MalformedDocument, msgspec.ValidationError) as error:
        raise InputError(f"{path} is not a profile report: {error}", remedy) from error
    if wrong := flaw(report):
        raise InputError(f"{path} is not a profile report: {wrong}", remedy)
    return report


def _from_schema_2(document: dict[str, Any]) -> dict[str, Any]:
    """The same report with workloads named WIDTHxHEIGHT."""
    cells = document.get("cells")
    renamed = [_renamed(cell) for cell in cells] if isinstance(cells, list) else cells
    return {**document, "cells": renamed, "schema": SCHEMA}


def _renamed(cell: object) -> object:
    if isinstance(cell, dict) and (match := re.fullmatch(r"(\d+)[xX](\d+)", str(cell.get("workload")))):
        return {**cell, "workload": f"{match[2]}x{match[1]}"}
    return cell


def report_schema() -> dict[str, Any]:
    """JSON Schema of report.json, with descriptions."""
    schema = msgspec.json.schema(ProfileReport)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"rt4ksr-toolkit profile report, version {SCHEMA}"
    for definition in schema["$defs"].values():
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split())
    return schema


_NO_CELL = CellReport("", "", "fp32", "", "")


def _csv_row(cell: CellReport) -> dict[str, object]:
    times = cell.statistics
    milliseconds = {
        f"{name}_ms": None if times is None or (value := getattr(times, name)) is None else round(value * 1000, 3)
        for name in ("median", "p90", "p95", "p99", "minimum")
    }
    interval = None if times is None else times.interval
    return {
        "workload": cell.workload,
        "runtime": cell.runtime,
        "precision": cell.precision,
        "executed": " ".join(f"{precision}:{nodes}" for precision, nodes in (cell.executed or {}).items()),
        "artifact": cell.artifact,
        "trials": None if times is None else times.trials,
        **milliseconds,
        "median_low_ms": None if interval is None else round(interval.low * 1000, 3),
        "median_high_ms": None if interval is None else round(interval.high * 1000, 3),
        "frames_per_second": cell.frames_per_second,
        "peak_bytes": cell.peak_bytes,
        "load_seconds": cell.load_seconds,
        "speed_up": cell.speed_up,
        "roofline": None if cell.roofline is None else cell.roofline.share,
        "spent": cell.spent,
        "reason": cell.reason,
        "note": cell.note,
    }
