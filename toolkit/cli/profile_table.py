"""Profiles for people: tables that fit 100 columns, and what a reader must not miss."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

import toolkit
from toolkit.cli.console import table

_NUMBERS = ("median", "±", "p95", "fps", ">33ms", "MB", "roof", "speed-up", "warm+n")
_NONE = "–"


def print_report(report: toolkit.ProfileReport, console: Console) -> None:
    """Tables by workload and artifact, layers and builds where they were asked for, and warnings."""
    here = report.environment
    console.print(
        f"{here.processor}, {report.threads} of {here.processors} threads, load {here.load:.1f} at the start",
        markup=False,
    )
    groups: dict[tuple[str, str], list[toolkit.CellReport]] = {}
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
        console.print(f"[yellow]warning:[/] {escape(warning)}")
    console.print()


def _print_cells(title: str, cells: Sequence[toolkit.CellReport], boundary: str, console: Console) -> None:
    io = ", ".join(dict.fromkeys(cell.io for cell in cells if cell.io))
    described = ", ".join(part for part in (title, io, f"boundary {boundary}", "times in ms") if part)
    console.print(f"\n[bold]{escape(described)}[/]")
    rows = table("engine" if cells[0].is_engine else "runtime", "precision", *_NUMBERS, right=_NUMBERS)
    rows.columns[0].no_wrap, rows.columns[0].overflow = False, "fold"  # a long name loses no part
    for cell in cells:
        if cell.statistics is not None:
            subject = cell.artifact if cell.is_engine else cell.runtime
            rows.add_row(escape(subject), *_row(cell, cell.statistics))
    console.print(rows)
    _print_remarks(cells, console)


def _row(cell: toolkit.CellReport, times: toolkit.Statistics) -> list[str]:
    return [
        f"[yellow]{cell.precision}→{cell.arithmetic}[/]" if cell.differs else cell.arithmetic or cell.precision,
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


def _speed_up(cell: toolkit.CellReport) -> str:
    if cell.speed_up is None:
        return _NONE
    return f"{cell.speed_up:.2f}x {_either_way(cell.speed_up_interval, cell.speed_up)}"


def _milliseconds(seconds: float | None) -> str:
    return _NONE if seconds is None else f"{1000 * seconds:.{1 if seconds >= 0.01 else 3}f}"


def _either_way(interval: toolkit.Interval | None, middle: float) -> str:
    """How far the ends of an interval are apart, halved, as a share of the middle."""
    return "" if interval is None else f"±{min(interval.width / middle / 2, 9.99):.0%}"


def _print_remarks(cells: Sequence[toolkit.CellReport], console: Console) -> None:
    """What ran otherwise than asked for, and what did not run; cells with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        if cell.note:
            console.print(f"[yellow]{escape(cell.name)}:[/] {escape(cell.note)}")
        if cell.reason:
            reasons.setdefault(cell.reason, []).append(cell.name)
        elif cell.differs:
            console.print(f"[yellow]{escape(cell.name)}:[/] stored {cell.precision}, computed {cell.arithmetic}")
        if cell.throughput is not None:
            rate = cell.throughput
            console.print(f"{escape(cell.name)}: {rate.frames_per_second:.2f} fps with {rate.streams} streams")
        elif cell.throughput_note:
            console.print(f"{escape(cell.name)}: no throughput: {escape(cell.throughput_note)}")
        if cell.stages is not None:
            parts = (cell.stages.upload, cell.stages.compute, cell.stages.download)
            shown = ", ".join(_milliseconds(part) for part in parts)
            console.print(f"{escape(cell.name)}: H2D, compute, D2H: {shown} ms")
    for reason, names in reasons.items():
        console.print(f"[yellow]{escape(', '.join(names))} did not run:[/] {escape(reason)}")


def _print_layers(cell: toolkit.CellReport, console: Console) -> None:
    if cell.layers_note:
        console.print(f"\n{escape(cell.workload)}, {escape(cell.name)}: no layers: {escape(cell.layers_note)}")
    if not cell.layers:
        return
    whole = sum(layer.seconds for layer in cell.layers)
    console.print(f"\n[bold]{escape(f'{cell.workload}, {cell.name}: layers')}[/], by its own profiler, times in ms")
    rows = table("layer", "kind", "time", "share", "ONNX nodes", right=("time", "share"))
    for layer in cell.layers:
        nodes = ", ".join(layer.nodes[:3]) + (f" and {len(layer.nodes) - 3} more" if len(layer.nodes) > 3 else "")
        share = f"{layer.seconds / whole:.0%}" if whole else _NONE
        rows.add_row(
            _shortened(layer.name), _shortened(layer.kind), f"{1000 * layer.seconds:.3f}", share, escape(nodes)
        )
    console.print(rows)


def _shortened(text: str, most: int = 34) -> str:
    return escape(text if len(text) <= most else f"{text[: most - 1]}…")


def _print_builds(cell: toolkit.CellReport, console: Console) -> None:
    if cell.builds_note:
        console.print(f"\n{escape(cell.workload)}, {escape(cell.name)}: no builds: {escape(cell.builds_note)}")
    if not cell.builds:
        return
    medians = [build.median for build in cell.builds]
    spread, apart = max(medians) / min(medians) - 1, max(build.difference for build in cell.builds)
    shown = ", ".join(_milliseconds(median) for median in medians)
    console.print(
        f"\n[bold]{escape(f'{cell.workload}, {cell.name}')}[/]: {len(medians)} builds: {shown} ms, {spread:.1%} apart;"
        f" outputs {'the same, bit for bit' if apart == 0 else f'up to {apart:.2g} apart'}"
    )
