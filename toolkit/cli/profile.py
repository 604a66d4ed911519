"""`toolkit profile`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_json, progress_bar, styled
from toolkit.cli.options import ArtifactDirectory, NetworkText, Precisions, WithinBudget, flag
from toolkit.cli.paths import STDOUT
from toolkit.cli.profile_options import Measuring, Results
from toolkit.cli.values import precisions, size, split
from toolkit.errors import Unavailable
from toolkit.kinds import DEFAULT_DIRECTORY, kind_of, split_runtime
from toolkit.precisions import Precision
from toolkit.quoting import shell
from toolkit.system.atomic import check_outputs, numbered, release, reserve_numbered
from toolkit.workloads import WORKLOADS, parse_workload

if TYPE_CHECKING:
    from toolkit.cli.profile_subjects import Given
    from toolkit.profiling.options import ProfileOptions
    from toolkit.profiling.reporting.report import ProfileReport

_MEASURING, _RESULTS = Measuring(), Results()


@dataclass(frozen=True)
class _Cells:
    """What is measured."""

    subjects: tuple[Given, ...]
    runtimes: list[str]
    workloads: list[str] | None
    precisions: list[Precision]
    quick: bool = False


def profile(
    *artifacts: NetworkText,
    precision: Annotated[
        Precisions | None,
        Parameter(
            help="Comma-separated precisions: fp32, fp16, bf16, int8. Missing ones are converted from fp32 for this "
            "run. Default: fp32, or that of the artifacts if none is in fp32."
        ),
    ] = None,
    runtime: str | None = None,
    workload: str | None = None,
    preset: str | None = None,
    directory: ArtifactDirectory = DEFAULT_DIRECTORY,
    within_budget: Annotated[
        WithinBudget,
        flag(
            "Exit with code 1, without measuring, unless the quality of every lower precision is within its budget "
            "according to its manifest (`toolkit evaluate --within-budget --record`)."
        ),
    ] = False,
    measuring: Measuring = _MEASURING,
    results: Results = _RESULTS,
) -> None:
    """Measure the speed of runtimes side by side, at 4K or any other size.

    A configuration is a network on a runtime, in a precision, at an input size. Each runs in its own process;
    configurations take turns, so that changes of the machine's speed affect all of them equally. They are warmed up
    until their times are steady, and measured until the median is known precisely enough. Speed-ups are relative to the
    unfused PyTorch network in the same run.

    Parameters
    ----------
    artifacts
        Artifacts and engines. Engines (.engine) run as they were built: --precision and --runtime do not apply to
        them, and --workload only to those for any size. Default: all artifacts in --directory; if there are none, the
        toolkit's own weights.
    runtime
        Comma-separated inference runtimes. Default: all. See `toolkit doctor`.
    workload
        Comma-separated workloads: 2160p-4k (x1), 1080p-4k (x2), 720p-4k (x3), 540p-4k (x4), or input sizes
        (WIDTHxHEIGHT). Default: those of the artifacts.
    preset
        Comma-separated UNTRAINED networks from the paper's design space, instead of artifacts. See `toolkit presets`.
    """
    _check_sizes(split(workload))
    asked, options = None if precision is None else precisions(precision), measuring.options()
    check_outputs(
        results.output, results.html, results.markdown, results.gen, overwrite=results.overwrite or results.resume
    )
    from toolkit.cli.profile_subjects import lowered, own_precisions, subjects

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = subjects(artifacts, directory, preset, split(workload), scratch, quick=measuring.quick)
        asked = asked or own_precisions(found)
        if results.gen is None:  # a script must not depend on files that exist only during this run
            found = lowered(found, asked, scratch)
        cells = _Cells(found, split(runtime), split(workload) or None, asked, measuring.quick)
        if results.gen is not None:
            _write_script(cells, options, results.gen, overwrite=results.overwrite)
            return
        target = results
        if results.output is None:
            results = replace(results, output=_default_output(results, stack))
            target = replace(results, overwrite=True)  # the default name is reserved for this run
        report = _measure(cells, options, target, within_budget=within_budget)
    _show(report, results)
    only_engines = len(artifacts) > 0 and all(kind_of(split_runtime(text)[0]) == "engine" for text in artifacts)
    _exit(report, cells.runtimes, [] if only_engines else cells.precisions)


def _measure(cells: _Cells, options: ProfileOptions, results: Results, *, within_budget: bool) -> ProfileReport:
    from toolkit.profiling.profile import profile as run
    from toolkit.runtimes.registry import RUNTIMES, graph_runtimes

    with progress_bar() as progress:
        return run(
            cells.subjects,
            cells.runtimes or (graph_runtimes() if cells.quick else tuple(RUNTIMES)),
            cells.workloads,
            cells.precisions,
            options,
            baseline=not cells.quick,
            within_budget=within_budget,
            output=results.output,
            resume=results.resume,
            overwrite=results.overwrite,
            command=shell(["toolkit", *sys.argv[1:]]),
            progress=progress,
            notify=lambda text: err.print(styled("{}", text), soft_wrap=True),
        )


def _default_output(results: Results, stack: ExitStack) -> Path:
    """report.json with --overwrite, the last report with --resume; otherwise a new number, reserved for this run."""
    output = Path("report.json")
    if results.overwrite:
        return output
    if results.resume:
        return numbered(output, latest=True)
    reserved = reserve_numbered(output)
    stack.callback(release, reserved)  # if the run fails before there is anything to write
    return reserved


def _check_sizes(workloads: Sequence[str]) -> None:
    """Print how an input size was understood; unknown workloads are refused before any work."""
    for name in workloads:
        found = parse_workload(name)
        if name not in WORKLOADS:
            err.print(styled("input size {}", size(found.shape.sides)), soft_wrap=True)


def _write_script(cells: _Cells, options: ProfileOptions, path: Path, *, overwrite: bool) -> None:
    from toolkit.profiling.script import profile_script

    to_stdout = path == STDOUT
    script = profile_script(
        cells.subjects,
        cells.runtimes,
        cells.workloads,
        cells.precisions,
        options,
        path=None if to_stdout else path,
        overwrite=overwrite,
    )
    if to_stdout:
        print(script, end="")
    else:
        out.print(styled("[bold]{}[/]; --help lists its options", path))


def _show(report: ProfileReport, results: Results) -> None:
    from toolkit.cli.profile_table import print_report
    from toolkit.profiling.reporting.pages import write_pages
    from toolkit.profiling.reporting.side_by_side import TitledReport

    on_stdout = results.json or results.csv
    if results.json:
        print_json(report.to_json())
    elif results.csv:
        print(report.to_csv(), end="")
    print_report(report, err if on_stdout else out)
    name = "report" if results.output is None else results.output.stem
    replaced = results.overwrite or results.resume
    write_pages([TitledReport(name, report)], results.html, results.markdown, overwrite=replaced)
    written = ", ".join(str(path) for path in (results.output, results.html, results.markdown) if path is not None)
    err.print(styled("written: {}", written), soft_wrap=True)


def _exit(report: ProfileReport, runtimes: list[str], asked: list[Precision]) -> None:
    """Exit with 3 if a named runtime or engine did not run, or no artifact ran in a requested precision."""
    stuck = any(cell.reason and (cell.is_engine or cell.runtime in runtimes) for cell in report.cells)
    ran = {cell.precision for cell in report.cells if not cell.reason and not cell.is_engine}
    if stuck or not ran.issuperset(asked):
        raise SystemExit(Unavailable.exit_code)
