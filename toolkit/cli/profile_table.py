"""Profiles on the terminal: tables within 100 columns, and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from toolkit.cli.console import styled, table
from toolkit.profiling.reporting.conclusion import conclusions
from toolkit.quoting import first_few

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from toolkit.profiling.measuring.statistics import Interval, Statistics
    from toolkit.profiling.reporting.report import CellReport, ProfileReport

_NUMBERS = ("median", "±", "p95", "fps", ">33ms", "MB", "% of\nroofline", "speed-up", "warm-up\n+ frames")
_NONE = "–"


def print_report(report: ProfileReport, console: Console) -> None:
    """Print tables by workload and artifact, layers and builds if they were measured, and warnings."""
    here = report.environment
    machine = "{}, {} of {} CPUs, load {:.1f} at the start"
    console.print(styled(machine, here.processor, report.threads, here.processors, here.load))
    groups: dict[tuple[str, str], list[CellReport]] = {}
    for cell in report.cells:
        groups.setdefault((cell.workload, "engines" if cell.is_engine else cell.artifact), []).append(cell)
    for (workload, what), cells in groups.items():
        _print_cells(f"{workload}: {what}" if what else workload, cells, report.boundary, console)
    for cell in report.cells:
        _print_layers(cell, console)
        _print_builds(cell, console)
    if report.warnings:
        console.print()
    for warning in report.warnings:
        console.print(styled("[yellow]warning:[/] {}", warning))
    console.print()
    for conclusion in conclusions(report):
        console.print(styled("[bold]{}[/]", conclusion.headline))
        for remark in conclusion.remarks:
            console.print(styled("  {}", remark))


def _print_cells(title: str, cells: Sequence[CellReport], boundary: str, console: Console) -> None:
    io = ", ".join(dict.fromkeys(cell.io for cell in cells if cell.io))
    described = ", ".join(part for part in (title, io, f"boundary {boundary}", "times in ms") if part)
    console.print(styled("\n[bold]{}[/]", described))
    engines = cells[0].is_engine
    rows = table("engine" if engines else "runtime", "precision", *_NUMBERS, right=_NUMBERS)
    if engines:  # whose names are as long as users make them: they are wrapped, not cut
        rows.columns[0].no_wrap, rows.columns[0].overflow = False, "fold"
    for cell in cells:
        if cell.statistics is not None:
            subject = cell.artifact if cell.is_engine else cell.runtime
            rows.add_row(subject, *_row(cell, cell.statistics))
    console.print(rows)
    _print_remarks(cells, console)


def _row(cell: CellReport, times: Statistics) -> list[RenderableType]:
    ran: RenderableType = cell.arithmetic or cell.precision
    if cell.differs:
        ran = styled("[yellow]{}→{}[/]", cell.precision, cell.arithmetic)
    return [
        ran,
        _milliseconds(times.median),
        _either_way(times.interval, times.median),
        _milliseconds(times.p95),
        f"{1 / times.median:.2f}",
        f"{times.deadlines[-1].late_share:.0%}",
        _NONE if cell.peak_bytes is None else f"{cell.peak_bytes / 1e6:.0f}",
        _NONE if cell.roofline is None else f"{cell.roofline.share:.0%}",
        _speed_up(cell),
        f"{0 if cell.warm_up is None else cell.warm_up.frames}+{times.trials}",
    ]


def _speed_up(cell: CellReport) -> str:
    if cell.speed_up is None:
        return _NONE
    return f"{cell.speed_up:.2f}x {_either_way(cell.speed_up_interval, cell.speed_up)}"


def _milliseconds(seconds: float | None) -> str:
    return _NONE if seconds is None else f"{1000 * seconds:.{1 if seconds >= 0.01 else 3}f}"


def _either_way(interval: Interval | None, middle: float) -> str:
    """Half the width of an interval as a share of the middle."""
    return "" if interval is None else f"±{min(interval.width / middle / 2, 9.99):.0%}"


def _print_remarks(cells: Sequence[CellReport], console: Console) -> None:
    """Print what ran in another precision and what did not run; configurations with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        if cell.note:
            console.print(styled("[yellow]{}:[/] {}", cell.name, cell.note))
        if cell.reason:
            reasons.setdefault(cell.reason, []).append(cell.name)
        elif cell.differs:
            console.print(styled("[yellow]{}:[/] stored {}, computed {}", cell.name, cell.precision, cell.arithmetic))
        if cell.throughput is not None:
            rate = cell.throughput
            console.print(styled("{}: {:.2f} fps with {} streams", cell.name, rate.frames_per_second, rate.streams))
        elif cell.throughput_note:
            console.print(styled("{}: throughput not measured: {}", cell.name, cell.throughput_note))
        if cell.stages is not None:
            parts = (cell.stages.upload, cell.stages.compute, cell.stages.download)
            shown = ", ".join(_milliseconds(part) for part in parts)
            console.print(styled("{}: H2D, compute, D2H: {} ms", cell.name, shown))
    for reason, names in reasons.items():
        console.print(styled("[yellow]{} did not run:[/] {}", ", ".join(names), reason))


def _print_layers(cell: CellReport, console: Console) -> None:
    if cell.layers_note:
        console.print(styled("\n{}, {}: layers not measured: {}", cell.workload, cell.name, cell.layers_note))
    if not cell.layers:
        return
    whole = sum(layer.seconds for layer in cell.layers)
    heading = "\n[bold]{}, {}: layers[/], from the runtime's profiler, times in ms"
    console.print(styled(heading, cell.workload, cell.name))
    rows = table("layer", "kind", "time", "share", "ONNX nodes", right=("time", "share"))
    for layer in cell.layers:
        nodes = first_few(layer.nodes, 3)
        share = f"{layer.seconds / whole:.0%}" if whole else _NONE
        rows.add_row(_shortened(layer.name), _shortened(layer.kind), f"{1000 * layer.seconds:.3f}", share, nodes)
    console.print(rows)


def _shortened(text: str, most: int = 34) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _print_builds(cell: CellReport, console: Console) -> None:
    if cell.builds_note:
        console.print(styled("\n{}, {}: builds not measured: {}", cell.workload, cell.name, cell.builds_note))
    if not cell.builds:
        return
    medians = [build.median for build in cell.builds]
    spread, apart = max(medians) / min(medians) - 1, max(build.difference for build in cell.builds)
    shown = ", ".join(_milliseconds(median) for median in medians)
    outputs = "bit-identical" if apart == 0 else f"differ by up to {apart:.2g}"
    found = f"{len(medians)} builds: {shown} ms, a spread of {spread:.1%}; outputs {outputs}"
    console.print(styled("\n[bold]{}, {}[/]: {}", cell.workload, cell.name, found))
