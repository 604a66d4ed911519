"""`toolkit profile`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import toolkit
from toolkit.cli.arguments import precisions, processors, share, size, split
from toolkit.cli.console import err, out, print_json, progress_bar, styled
from toolkit.cli.profile_options import Measuring, Results
from toolkit.cli.profile_subjects import Subject, lowered, subjects
from toolkit.cli.profile_table import print_report
from toolkit.quoting import shell

_MEASURING, _RESULTS = Measuring(), Results()


@dataclass(frozen=True)
class _Cells:
    """What is measured."""

    subjects: tuple[Subject, ...]
    runtimes: list[str]
    workloads: list[str] | None
    precisions: list[toolkit.Precision]


def profile(
    *artifacts: Path,
    precision: str = "fp32",
    runtime: str | None = None,
    workload: str | None = None,
    preset: str | None = None,
    directory: Path = Path("exported"),
    within_budget: Annotated[bool, Parameter(negative=())] = False,
    measuring: Annotated[Measuring, Parameter(name="*")] = _MEASURING,
    results: Annotated[Results, Parameter(name="*")] = _RESULTS,
) -> None:
    """Measure runtimes side by side at 720p→4K and 1080p→4K.

    Each cell runs in a process of its own; cells take turns, so that a machine's drift hits all alike. They are warmed
    up until their times are steady, and measured until the median is known. Speed-up is over the unfused PyTorch
    network in the same run.

    Parameters
    ----------
    artifacts
        What to measure: artifacts, and engine bundles (.engine), which run as they were built whatever the next three
        say. Default: every artifact in the directory; without any, the toolkit's own weights.
    precision
        Comma-separated: fp32, fp16, bf16, int8. Missing ones are made of fp32 for this run.
    runtime
        Comma-separated; default: all. See `toolkit doctor`.
    workload
        Comma-separated: 720p-4k, 1080p-4k, or sizes of inputs (WIDTHxHEIGHT); default: those the artifacts serve.
    preset
        Comma-separated: instead of artifacts, networks of the paper's design space, UNTRAINED. See `toolkit presets`.
    directory
        Where artifacts are.
    within_budget
        Exit 1, measuring nothing, where a lowered precision has no good verdict on its quality in its manifest.
    """
    if results.json and results.csv:
        raise toolkit.InputError("--json and --csv exclude each other")
    _repeat_sizes(split(workload))
    results = _with_output(results)
    with ExitStack() as stack:
        asked, scratch = precisions(precision), Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = subjects(artifacts, directory, preset, scratch)
        if results.gen is None:  # a script outlives what is made for this run
            found = lowered(found, asked, scratch)
        cells = _Cells(found, split(runtime), split(workload) or None, asked)
        if results.gen is not None:
            _write_script(cells, measuring, results.gen, overwrite=results.overwrite)
            return
        report = _measure(cells, measuring, results, within_budget=within_budget)
    _show(report, results)
    only_engines = len(artifacts) > 0 and all(path.suffix == ".engine" for path in artifacts)
    _exit(report, cells.runtimes, [] if only_engines else cells.precisions)


def _measure(cells: _Cells, how: Measuring, results: Results, *, within_budget: bool) -> toolkit.ProfileReport:
    with progress_bar() as progress:
        return toolkit.profile(
            cells.subjects,
            cells.runtimes or tuple(toolkit.RUNTIMES),
            cells.workloads,
            cells.precisions,
            duration=how.duration,
            threads=how.threads,
            cpus=processors(how.cpus),
            boundary=how.boundary,
            timing_precision=share(how.precision_of_timing, "--precision-of-timing"),
            cell_timeout=how.cell_timeout,
            streams=how.streams,
            per_layer=how.per_layer,
            builds=how.builds,
            roofline=how.roofline,
            within_budget=within_budget,
            output=results.output,
            resume=results.resume,
            overwrite=results.overwrite,
            command=shell(["toolkit", *sys.argv[1:]]),
            progress=progress,
        )


def _with_output(results: Results) -> Results:
    """The same with the report's name: one that was typed must be new, the default one is numbered."""
    replaced = results.overwrite or results.resume
    toolkit.check_outputs(results.output, results.html, results.markdown, results.gen, overwrite=replaced)
    if results.output is not None:
        return results
    output = Path("report.json")
    return replace(results, output=output if results.overwrite else toolkit.numbered(output, latest=results.resume))


def _repeat_sizes(workloads: Sequence[str]) -> None:
    """Say how a size was understood that a person typed; unknown workloads are refused before any work."""
    for name in workloads:
        found = toolkit.parse_workload(name)
        if name not in toolkit.WORKLOADS:
            err.print(styled("input size {}", size(found.shape.sides)), soft_wrap=True)


def _write_script(cells: _Cells, how: Measuring, path: Path, *, overwrite: bool) -> None:
    to_stdout = path == Path("-")
    script = toolkit.profile_script(
        cells.subjects,
        cells.runtimes,
        cells.workloads,
        cells.precisions,
        duration=how.duration,
        threads=how.threads,
        cpus=processors(how.cpus),
        boundary=how.boundary,
        path=None if to_stdout else path,
        overwrite=overwrite,
    )
    if to_stdout:
        print(script, end="")
    else:
        out.print(styled("[bold]{}[/]; its --help says what it takes", path))


def _show(report: toolkit.ProfileReport, results: Results) -> None:
    on_stdout = results.json or results.csv
    if results.json:
        print_json(report.to_json())
    elif results.csv:
        print(report.to_csv(), end="")
    print_report(report, err if on_stdout else out)
    name = "report" if results.output is None else results.output.stem
    replaced = results.overwrite or results.resume
    toolkit.write_pages([toolkit.TitledReport(name, report)], results.html, results.markdown, overwrite=replaced)
    written = ", ".join(str(path) for path in (results.output, results.html, results.markdown) if path is not None)
    err.print(styled("written: {}", written), soft_wrap=True)


def _exit(report: toolkit.ProfileReport, runtimes: list[str], asked: list[toolkit.Precision]) -> None:
    """A runtime or engine that was named and did not run is an error, and so is a precision that no artifact ran in."""
    stuck = any(cell.reason and (cell.is_engine or cell.runtime in runtimes) for cell in report.cells)
    ran = {cell.precision for cell in report.cells if not cell.reason and not cell.is_engine}
    if stuck or not ran.issuperset(asked):
        raise SystemExit(toolkit.Unavailable.exit_code)
