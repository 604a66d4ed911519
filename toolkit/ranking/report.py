"""Data classes of a ranking, and its JSON form."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from toolkit.precisions import Precision
from toolkit.profiling.measuring.environment import Environment
from toolkit.profiling.measuring.statistics import Interval
from toolkit.profiling.options import ProfileOptions
from toolkit.quality.scores import SetScore

SCHEMA = 1

_DECIMALS = 3
"""Of gains in dB that are compared: on another runtime, a network is not better by its roundings."""

BICUBIC = "bicubic"
"""Name of the baseline's row. Quality and frame time are those of Pillow's filter, the reference of gains."""


class Row(msgspec.Struct, frozen=True):
    """A network on a runtime in a precision, or bicubic interpolation.

    `precision` is what was asked for, `arithmetic` what the runtime computed in. `parameters` are trainable scalars,
    `multiply_adds` those of one output frame. `psnr_y` (dB) and `ssim_y` are means over all images, `sets` those of
    each set; `gain` is `psnr_y` minus that of bicubic. `median` is the frame time in seconds, `interval` its 95 %
    interval. `peak_bytes`: peak resident memory of the process. `judged_on` names the runtime that quality was measured
    on, if it is another. `frontier`: no other row is at least as good and at least as fast, and better in one of both.
    `demanded`: its runtime was named together with the network. `reason` says why there is no frame time,
    `quality_reason` why there is no quality; `failed`: an error occurred where the runtime works, with its Python
    traceback in `traceback`. `sha256` is that of the ONNX file.
    """

    network: str
    runtime: str
    precision: Precision | None
    arithmetic: tuple[str, ...] = ()
    parameters: int | None = None
    multiply_adds: int | None = None
    psnr_y: float | None = None
    ssim_y: float | None = None
    gain: float | None = None
    sets: tuple[SetScore, ...] = ()
    median: float | None = None
    interval: Interval | None = None
    peak_bytes: int | None = None
    judged_on: str = ""
    frontier: bool = False
    demanded: bool = False
    reason: str = ""
    quality_reason: str = ""
    failed: bool = False
    traceback: str = ""
    licence: str | None = None
    sha256: str = ""

    @property
    def is_bicubic(self) -> bool:
        """Whether it is the baseline: it has no precision."""
        return self.precision is None

    @property
    def gain_per_millisecond(self) -> float | None:
        """dB of PSNR-Y over bicubic for each millisecond of a frame."""
        return None if self.gain is None or self.median is None else self.gain / (1000 * self.median)

    @property
    def differs(self) -> bool:
        """Whether nothing was computed in the precision that was asked for."""
        return bool(self.arithmetic) and self.precision not in (None, *self.arithmetic)


class RankingReport(msgspec.Struct, frozen=True):
    """A ranking: rows by gain, the best first; those without quality last.

    `workload` is the target, `given` and `returned` are (height, width) of its input and result. `degradation` says how
    missing low-resolution images were computed; `border` pixels are ignored at each edge of the `images`.
    `settings` are those of the frame times, whose `warnings` list conditions that make them less reliable.
    """

    workload: str
    given: tuple[int, int]
    returned: tuple[int, int]
    scale: int
    images: int
    degradation: str
    border: int
    rows: tuple[Row, ...]
    environment: Environment
    settings: ProfileOptions
    begun: str = ""
    command: str = ""
    warnings: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def measured(self) -> tuple[Row, ...]:
        """Rows with a frame time or a quality."""
        return tuple(row for row in self.rows if row.median is not None or row.psnr_y is not None)

    @property
    def set_names(self) -> tuple[str, ...]:
        """Image sets, in order."""
        return tuple(dict.fromkeys(one.name for row in self.rows for one in row.sets))

    @property
    def complete(self) -> bool:
        """Whether every lane has both frame time and quality."""
        return not any(row.reason or row.quality_reason for row in self.rows)

    def to_json(self) -> str:
        """Every row also with its `gain_per_millisecond`."""
        document = msgspec.to_builtins(self)
        for row, written in zip(self.rows, document["rows"], strict=True):
            written["gain_per_millisecond"] = row.gain_per_millisecond
        return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def ordered(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Rows by gain, the best first, those that are as good by frame time; with the frontier marked."""
    points = [(_compared(row.gain), row.median) for row in rows if row.gain is not None and row.median is not None]
    marked = [msgspec.structs.replace(row, frontier=_on_frontier(row, points)) for row in rows]
    return tuple(sorted(marked, key=_order))


def _order(row: Row) -> tuple[float, float]:
    worst = float("inf")
    return worst if row.gain is None else -_compared(row.gain), worst if row.median is None else row.median


def _compared(gain: float) -> float:
    return round(gain, _DECIMALS)


def _on_frontier(row: Row, points: Sequence[tuple[float, float]]) -> bool:
    """Whether no point is at least as good and as fast, and better in one of both."""
    if row.gain is None or row.median is None:
        return False
    gain, median = _compared(row.gain), row.median
    return not any(
        other >= gain and seconds <= median and (other, seconds) != (gain, median) for other, seconds in points
    )
