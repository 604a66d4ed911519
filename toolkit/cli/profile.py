"""`toolkit profile`."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

import toolkit
from toolkit.cli.arguments import find_artifacts, precisions, split
from toolkit.cli.console import bar, err, out, steps, table


def profile(
    *artifacts: Path,
    precision: str = "fp32",
    runtime: str | None = None,
    workload: str | None = None,
    duration: float = 5.0,
    threads: int = 0,
    directory: Path = Path("exported"),
    within_budget: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    csv: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Measure runtimes side by side at 720p→4K and 1080p→4K.

    Each cell runs in a process of its own; cells take turns, so that a machine's drift hits all alike. Times are from
    host memory to host memory, after warm-up. Speed-up is over the unfused PyTorch network in the same run.

    Parameters
    ----------
    artifacts
        What to measure: artifacts, and engine bundles (.engine), which run as they were built whatever the next three
        say. Default: every artifact in the directory; without any, the toolkit's own weights.
    precision
        Comma-separated: fp32, fp16, bf16, int8.
    runtime
        Comma-separated; default: all. See `toolkit doctor`.
    workload
        Comma-separated: 720p-4k, 1080p-4k; default: those the artifacts serve.
    duration
        Seconds of measuring per cell; at least five frames are taken.
    threads
        Processor threads per cell; 0: all usable.
    directory
        Where artifacts are.
    within_budget
        Exit 1, measuring nothing, where a lowered precision has no good verdict on its quality in its manifest.
    json
        Print one JSON document.
    csv
        Print comma-separated values.
    """
    if json and csv:
        raise toolkit.InputError("--json and --csv exclude each other")
    with ExitStack() as stack:
        found: list[toolkit.Artifact] = [] if artifacts else find_artifacts(directory)
        if not artifacts and not found:
            found = _bundled(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        advance = stack.enter_context(bar())
        report = toolkit.profile(
            artifacts or found,
            split(runtime) or tuple(toolkit.RUNTIMES),
            split(workload) or None,
            precisions(precision),
            duration=duration,
            threads=threads,
            within_budget=within_budget,
            advance=advance,
        )
    if json or csv:
        print(report.to_json() if json else report.to_csv(), end="")
    _print(report, err if json or csv else out)
    only_engines = len(artifacts) > 0 and all(path.suffix == ".engine" for path in artifacts)
    _exit(report, split(runtime), [] if only_engines else precisions(precision))


def _bundled(directory: Path) -> list[toolkit.Artifact]:
    """Artifacts of the toolkit's own weights, for a first look without a checkpoint."""
    made = []
    for workload in toolkit.WORKLOADS.values():
        checkpoint = toolkit.bundled_checkpoint(workload.scale or 2)
        with steps(f"export x{workload.scale}") as report:
            made.append(toolkit.export(checkpoint, directory=directory, report=report))
    return made


def _print(report: toolkit.ProfileReport, console: Console) -> None:
    here = report.environment
    console.print(f"{here.processor}, {report.threads} of {here.processors} threads, load {here.load:.1f} at the start")
    groups: dict[tuple[str, str], list[toolkit.CellReport]] = {}
    for cell in report.cells:
        groups.setdefault((cell.workload, "engines" if cell.is_engine else cell.artifact), []).append(cell)
    for (workload, what), cells in groups.items():
        _print_table(f"{workload}: {what}" if what else workload, cells, console)
    console.print()


def _print_table(title: str, cells: list[toolkit.CellReport], console: Console) -> None:
    numbers = ("median", "p90", "p95", "p99", "min", "fps", "MB", "speed-up", "n")
    io = ", ".join(dict.fromkeys(cell.io for cell in cells if cell.io))
    console.print(f"\n[bold]{escape(f'{title}, {io}, times in ms' if io else title)}[/]")
    rows = table("engine" if cells[0].is_engine else "runtime", "asked", "ran", *numbers, right=numbers)
    for cell in cells:
        if cell.statistics is not None:
            rows.add_row(escape(_subject(cell)), cell.precision, *_numbers(cell, cell.statistics))
    console.print(rows)
    _remarks(cells, console)


def _subject(cell: toolkit.CellReport) -> str:
    return cell.artifact if cell.is_engine else cell.runtime


def _remarks(cells: list[toolkit.CellReport], console: Console) -> None:
    """What ran otherwise than asked for, and what did not run; cells with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        name = cell.artifact if cell.is_engine else f"{cell.runtime} {cell.precision}"
        if cell.note:
            console.print(f"[yellow]{escape(name)}:[/] {escape(cell.note)}")
        if cell.reason:
            reasons.setdefault(cell.reason, []).append(name)
        elif _differs(cell):
            console.print(f"[yellow]{escape(name)}:[/] stored {cell.precision}, computed {_ran(cell)}")
    for reason, names in reasons.items():
        console.print(f"[yellow]{escape(', '.join(names))} did not run:[/] {escape(reason)}")


def _ran(cell: toolkit.CellReport) -> str:
    """Precisions of the nodes that compute, most of them first; uint8 is only how images come and go."""
    executed = {name: count for name, count in (cell.executed or {}).items() if name != "uint8"}
    return "+".join(sorted(executed, key=lambda name: -executed[name]))


def _differs(cell: toolkit.CellReport) -> bool:
    return cell.executed is not None and cell.precision not in cell.executed


def _numbers(cell: toolkit.CellReport, times: toolkit.Statistics) -> list[str]:
    seconds = (times.median, times.p90, times.p95, times.p99, times.minimum)
    ran = _ran(cell)
    return [
        f"[yellow]{ran}[/]" if _differs(cell) else ran,
        *(f"{1000 * value:.1f}" for value in seconds),
        f"{1 / times.median:.2f}",
        "–" if cell.peak_bytes is None else f"{cell.peak_bytes / 1e6:.0f}",
        "–" if cell.speed_up is None else f"{cell.speed_up:.2f}x",
        str(times.trials),
    ]


def _exit(report: toolkit.ProfileReport, runtimes: list[str], asked: list[toolkit.Precision]) -> None:
    """A runtime or engine that was named and did not run is an error, and so is a precision that no artifact ran in."""
    stuck = any(cell.reason and (cell.is_engine or cell.runtime in runtimes) for cell in report.cells)
    ran = {cell.precision for cell in report.cells if not cell.reason and not cell.is_engine}
    if stuck or not ran.issuperset(asked):
        raise SystemExit(toolkit.Unavailable.exit_code)
