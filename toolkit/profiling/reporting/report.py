"""Data classes of a profile report, with its JSON and CSV forms.

`SCHEMA` is the version of report.json. It is incremented when a field is removed or changes its meaning; new fields
have defaults and do not change it. `reading.py` reads reports.
"""

from __future__ import annotations

import csv
import io

import msgspec

from toolkit.artifact import encode
from toolkit.graph.analysis.work import Work
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.profiling.measuring.builds import Build
from toolkit.profiling.measuring.conditions import Conditions
from toolkit.profiling.measuring.environment import Environment
from toolkit.profiling.measuring.messages import Boundary
from toolkit.profiling.measuring.roofline import Roofline
from toolkit.profiling.measuring.schedule import Block
from toolkit.profiling.measuring.statistics import Interval, Statistics
from toolkit.profiling.options import ProfileOptions
from toolkit.quoting import csv_cell
from toolkit.runtimes.reported import LayerTime, Stages
from toolkit.system.hardware import Ceiling

SCHEMA = 4
"""Version of report.json. Schema 2 named sizes of workloads HEIGHTxWIDTH; before schema 4, `is_engine` was missing."""


class ColdStart(msgspec.Struct, frozen=True):
    """Cold start, in seconds.

    `process`: from the start of the process to the request to load (imports of Python and the toolkit); `load`: until a
    session is bound to its size, including the import of the runtime; `first_frame`: of the first frame; `steady`: from
    the start of the process to steady frame times.
    """

    process: float
    load: float
    first_frame: float
    steady: float


class WarmUp(msgspec.Struct, frozen=True):
    """Frames after the first one and before the measurement, and whether frame times became steady (`steady.py`)."""

    frames: int
    seconds: float
    steady: bool


class Memory(msgspec.Struct, frozen=True):
    """Memory in bytes.

    Resident memory of the process: `before` loading, `loaded` after loading and one frame, and at its `peak`. `weights`
    is the size of the weights as stored in the graph. `device`: GPU memory of the process, if reported.
    """

    peak: int
    before: int
    loaded: int
    weights: int
    device: int | None = None

    @property
    def without_weights(self) -> int:
        """Peak minus the weights."""
        return self.peak - self.weights


class Throughput(msgspec.Struct, frozen=True):
    """Frames per second of `streams` concurrent sessions, which share the threads."""

    streams: int
    frames_per_second: float


class CellReport(msgspec.Struct, frozen=True):
    """One configuration: what was requested, and either the measurement or `reason`, why it did not run.

    `artifact` is the name of an artifact or, if `is_engine`, of an engine bundle; `sha256` is that of the artifact.
    `executed` counts nodes per executed precision, as reported by the runtime. `speed_up` is the median of the unfused
    PyTorch baseline of the same network and workload divided by this median, over the rounds that both measured.
    `spent` is the share of the network's gain over bicubic that the precision loses, as recorded by `toolkit evaluate
    --within-budget --record`. `stages` are medians. `throughput_note`, `layers_note` and
    `builds_note` say why a requested value is missing, and `note` why the speed-up is.
    `finished` is false if the run was interrupted.
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
    is_engine: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Identity of a configuration across reports."""
        return self.workload, self.artifact, self.runtime, self.precision

    @property
    def name(self) -> str:
        """Display name: the file name of an engine; otherwise runtime and precision."""
        return self.artifact if self.is_engine else f"{self.runtime} {self.precision}"

    @property
    def seconds(self) -> tuple[float, ...]:
        """Frame times in seconds, in order."""
        return tuple(second for block in self.blocks for second in block.seconds)

    @property
    def times(self) -> list[tuple[float, ...]]:
        """Frame times in seconds, by block."""
        return [block.seconds for block in self.blocks]

    @property
    def peak_bytes(self) -> int | None:
        """Peak resident memory of the process, in bytes."""
        return None if self.memory is None else self.memory.peak

    @property
    def load_seconds(self) -> float | None:
        """From the request to load to the end of the first frame."""
        return None if self.cold_start is None else self.cold_start.load + self.cold_start.first_frame

    @property
    def computed(self) -> tuple[str, ...]:
        """Executed precisions, the most frequent first; without uint8, which is only the type of input and output."""
        executed = {name: count for name, count in (self.executed or {}).items() if name != "uint8"}
        return tuple(sorted(executed, key=lambda name: -executed[name]))

    @property
    def arithmetic(self) -> str:
        """`computed` for display: `bf16+fp32`."""
        return "+".join(self.computed)

    @property
    def differs(self) -> bool:
        """Whether no node was executed in the requested precision."""
        return bool(self.executed) and self.precision not in (self.executed or {})


class ProfileReport(msgspec.Struct, frozen=True):
    """A complete profile. All times are in seconds; `settings.boundary` defines what a frame time includes.

    `begun` is the start time in UTC (ISO 8601); `command` is the exact command line, or empty; `complete` is false if
    the run was interrupted; `warnings` list conditions that make the measurements less reliable.

    Example:
        >>> report: toolkit.ProfileReport = toolkit.read_report("report.json")
        >>> report.to_csv().splitlines()[0].startswith("workload,runtime,precision")
        True
    """

    environment: Environment
    settings: ProfileOptions
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
        """CSV with one line per configuration, times in milliseconds."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_csv_row(_NO_CELL))
        for cell in self.cells:
            values = _csv_row(cell).values()
            writer.writerow([csv_cell(value) if isinstance(value, str) else value for value in values])
        return stream.getvalue()


_NO_CELL = CellReport("", "", FULL_PRECISION, "", "")


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
