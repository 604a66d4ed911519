"""Charts of a profile, as figures with captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.pages.charts import COLOURS, Bar, Line, Point, Spread, bars, scatter, spreads
from toolkit.pages.document import figure
from toolkit.profiling.measuring.statistics import DEADLINES, Statistics
from toolkit.profiling.reporting.formatting import milliseconds, several_networks
from toolkit.profiling.reporting.report import CellReport
from toolkit.profiling.reporting.side_by_side import Row
from toolkit.system.hardware import Ceiling

_MOST_LAYERS = 16
_PROFILER_COST = 1.2
"""Ratio of the sum of layers to the frame time from which on the caption explains the difference."""

_MARKS = tuple((1000 * seconds, f"{1 / seconds:.0f} fps") for seconds in DEADLINES)


def workload_figures(workload: str, cells: Sequence[CellReport], ceilings: Sequence[Ceiling]) -> Iterator[str]:
    """Figures of the measured cells of one workload; a chart that would show nothing is left out."""
    several = several_networks(cells)
    named = [(f"{cell.artifact}, {cell.name}" if several and not cell.is_engine else cell.name, cell) for cell in cells]
    runtimes = list(dict.fromkeys(cell.runtime for cell in cells))
    styles = {name: f"c{index % COLOURS}" for index, name in enumerate(runtimes)}
    yield _times(workload, named, styles)
    shares = {share for _, cell in named for share in (one.late_share for one in _measured(cell).deadlines)}
    if len(shares) > 1:
        yield _late(workload, named)
    if any(cell.spent for _, cell in named):
        yield _quality(workload, named, styles)
    if any(cell.work is not None and cell.roofline is not None for _, cell in named):
        yield _roofline(workload, named, styles, ceilings)
    if any(cell.memory is not None for _, cell in named):
        yield _memory(workload, named)
    if any(cell.cold_start is not None for _, cell in named):
        yield _cold_start(workload, named)
    for name, cell in named:
        if cell.layers:
            yield _layers(workload, name, cell)


def comparison(titles: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    """One chart per workload: the medians of every configuration in every report."""
    for workload in dict.fromkeys(row.workload for row in rows):
        drawn = []
        for row in rows:
            if row.workload != workload:
                continue
            for number, (title, cell) in enumerate(zip(titles, row.cells, strict=True)):
                if cell is not None and cell.statistics is not None:
                    median = 1000 * cell.statistics.median
                    shown = f"{milliseconds(cell.statistics.median)} ms"
                    drawn.append(Bar(f"{row.name}, {title}", shown, ((median, f"c{number % COLOURS}", shown),)))
        yield figure(f"{workload}: median frame time", bars(f"{workload}: medians", drawn, "ms"), "Shorter is better.")


def _times(workload: str, named: Sequence[tuple[str, CellReport]], styles: dict[str, str]) -> str:
    rows = []
    for name, cell in named:
        times = _measured(cell)
        interval = times.interval
        rows.append(
            Spread(
                label=name,
                value=f"{milliseconds(times.median)} ms",
                values=[1000 * second for second in cell.seconds],
                median=1000 * times.median,
                interval=None if interval is None else (1000 * interval.low, 1000 * interval.high),
                style=styles[cell.runtime],
            )
        )
    chart = spreads(f"{workload}: distribution of frame times", rows, "ms", _MARKS)
    caption = (
        "Single frames, or their density if there are many. Vertical line: median; horizontal bar: its 95 % interval."
    )
    return figure(f"{workload}: frame times", chart, caption)


def _late(workload: str, named: Sequence[tuple[str, CellReport]]) -> str:
    rows = []
    for name, cell in named:
        sixty, thirty = _measured(cell).deadlines
        early, fair = 1 - sixty.late_share, sixty.late_share - thirty.late_share
        parts = (
            (100 * early, "early", f"{early:.1%} in time for 60 fps"),
            (100 * fair, "fair", f"{fair:.1%} in time for 30 fps only"),
            (100 * thirty.late_share, "late", f"{thirty.late_share:.1%} too late for 30 fps"),
        )
        value = (
            f"{thirty.late_share:.0%} late, up to {thirty.longest_late_run} in a row"
            if thirty.late_share
            else "in time"
        )
        rows.append(Bar(name, value, tuple(part for part in parts if part[0] > 0)))
    chart = bars(f"{workload}: deadlines", rows, "% of frames", highest=100)
    caption = "Green: within 16.7 ms (60 fps); yellow: within 33.3 ms (30 fps); red: later."
    return figure(f"{workload}: deadlines", chart, caption)


def _quality(workload: str, named: Sequence[tuple[str, CellReport]], styles: dict[str, str]) -> str:
    title = f"{workload}: speed and loss of quality"
    points = [
        Point(1 / _measured(cell).median, 100 * cell.spent, name, styles[cell.runtime])
        for name, cell in named
        if cell.spent is not None
    ]
    unknown = sorted({cell.artifact for _, cell in named if cell.spent is None})
    caption = "Share of the gain over bicubic that the precision loses; fp32 is the reference and loses nothing."
    if unknown:
        caption += f" Not measured yet: {', '.join(unknown)} (toolkit evaluate --within-budget --record)."
    return figure(title, scatter(title, points, "fps", "% of the gain lost"), caption)


def _roofline(
    workload: str, named: Sequence[tuple[str, CellReport]], styles: dict[str, str], ceilings: Sequence[Ceiling]
) -> str:
    title = f"{workload}: roofline"
    points, lines = [], []
    used: dict[tuple[str, str], list[float]] = {}
    for name, cell in named:
        if cell.work is None or cell.roofline is None:
            continue
        intensity = cell.work.executed / cell.work.least_bytes
        rate = cell.work.executed / _measured(cell).median
        points.append(Point(intensity, rate, f"{name} {cell.roofline.share:.0%}", styles[cell.runtime]))
        used.setdefault((cell.roofline.device, cell.roofline.precision), []).append(intensity)
    for ceiling in ceilings:
        for precision, rate in ceiling.multiply_adds_per_second.items():
            if (ceiling.device, precision) in used:
                ridge = rate / ceiling.bytes_per_second
                far = 4 * max(ridge, *used[ceiling.device, precision])
                left = ridge / 8
                ends = ((left, left * ceiling.bytes_per_second), (ridge, rate), (far, rate))
                lines.append(Line(ends, f"{ceiling.device} {precision}"))
    units = "multiply-adds per byte", "multiply-adds per second"
    chart = scatter(title, points, *units, lines=lines, logarithmic=(True, True))
    caption = (
        "Lines: peak rates of this machine, measured with PyTorch convolutions, matrix products and copies. Bytes: the "
        "minimum that must be read and written. Percentages: share of the roofline that is reached."
    )
    return figure(title, chart, caption)


def _memory(workload: str, named: Sequence[tuple[str, CellReport]]) -> str:
    rows = []
    for name, cell in named:
        if cell.memory is None:
            continue
        before, peak = cell.memory.before / 1e6, cell.memory.peak / 1e6
        loaded = max(cell.memory.loaded / 1e6 - before, 0.0)
        device = "" if cell.memory.device is None else f" + {cell.memory.device / 1e6:.0f} MB on the GPU"
        parts = (
            (before, "c7", f"{before:.0f} MB before loading"),
            (loaded, "c0", f"{loaded:.0f} MB more after loading and one frame"),
            (max(peak - before - loaded, 0.0), "c1", f"{peak:.0f} MB more at the peak"),
        )
        weights = f"{cell.memory.weights / 1e6:.2f} MB of weights"
        rows.append(Bar(name, f"{peak:.0f} MB, {weights}{device}", parts))
    caption = "Resident memory of the process: before loading, after loading and one frame, and at its peak."
    return figure(f"{workload}: memory", bars(f"{workload}: memory", rows, "MB"), caption)


def _cold_start(workload: str, named: Sequence[tuple[str, CellReport]]) -> str:
    rows = []
    for name, cell in named:
        if (start := cell.cold_start) is None:
            continue
        warm = max(start.steady - start.process - start.load - start.first_frame, 0.0)
        parts = (
            (start.process, "c7", f"{start.process:.2f} s until the process is ready"),
            (start.load, "c0", f"{start.load:.2f} s to load"),
            (start.first_frame, "c1", f"{start.first_frame:.2f} s for the first frame"),
            (warm, "c4", f"{warm:.2f} s until steady"),
        )
        rows.append(Bar(name, f"{start.steady:.1f} s", parts))
    caption = "Process start (grey), loading (blue), first frame (orange), until frame times are steady (yellow)."
    return figure(f"{workload}: cold start", bars(f"{workload}: cold start", rows, "s"), caption)


def _layers(workload: str, name: str, cell: CellReport) -> str:
    whole = sum(layer.seconds for layer in cell.layers) or 1.0
    longest = sorted(cell.layers, key=lambda layer: -layer.seconds)[:_MOST_LAYERS]
    shown = [layer for layer in cell.layers if layer in longest]
    rows = [
        Bar(
            (layer.nodes[0] + (f" and {len(layer.nodes) - 1} more" if len(layer.nodes) > 1 else ""))[:44]
            if layer.nodes
            else layer.name[:44],
            f"{milliseconds(layer.seconds)} ms, {layer.seconds / whole:.0%}",
            ((1000 * layer.seconds, "c0", f"{layer.kind}: {', '.join(layer.nodes) or layer.name}"),),
        )
        for layer in shown
    ]
    left_out = len(cell.layers) - len(shown)
    median = _measured(cell).median
    caption = "Measured by the runtime's own profiler, in execution order"
    caption += f"; {left_out} shorter layers are not shown. " if left_out else ". "
    caption += f"All layers: {milliseconds(whole)} ms; a frame without the profiler: {milliseconds(median)} ms."
    if whole > _PROFILER_COST * median:
        caption += " The profiler itself, or what layers wait for, takes the difference: only the shares count."
    elif whole * _PROFILER_COST < median:
        caption += " The difference is spent outside layers: copies, conversion, and starting them."
    return figure(f"{workload}: layers of {name}", bars(f"{workload}: layers of {name}", rows, "ms"), caption)


def _measured(cell: CellReport) -> Statistics:
    assert cell.statistics is not None  # noqa: S101  (only measured cells are drawn)
    return cell.statistics
