"""`toolkit profile`."""

from __future__ import annotations

import shlex
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import toolkit
from toolkit.cli.arguments import find_artifacts, precisions, processors, share, split
from toolkit.cli.console import bar, err, out, steps
from toolkit.cli.profile_table import print_report


def profile(
    *artifacts: Path,
    precision: str = "fp32",
    runtime: str | None = None,
    workload: str | None = None,
    boundary: toolkit.Boundary = "host",
    duration: float = 5.0,
    precision_of_timing: str = "2%",
    cell_timeout: float = 300.0,
    threads: int = 0,
    cpus: str | None = None,
    streams: int = 1,
    per_layer: Annotated[bool, Parameter(negative=())] = False,
    builds: int = 1,
    roofline: bool = True,
    directory: Path = Path("exported"),
    within_budget: Annotated[bool, Parameter(negative=())] = False,
    output: Annotated[Path, Parameter(alias="-o")] = Path("report.json"),
    html: Path | None = None,
    markdown: Path | None = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    csv: Annotated[bool, Parameter(negative=())] = False,
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
        Comma-separated: fp32, fp16, bf16, int8.
    runtime
        Comma-separated; default: all. See `toolkit doctor`.
    workload
        Comma-separated: 720p-4k, 1080p-4k; default: those the artifacts serve.
    boundary
        What a frame time is. compute: input and output stay where the runtime wants them; host: from host memory to
        host memory, copies included; image: from a decoded uint8 image to another, conversion included.
    duration
        Seconds of measuring per cell; at least five frames are taken.
    precision_of_timing
        A cell ends earlier when the 95 % interval of its median is narrower than this share of it.
    cell_timeout
        Seconds after which a cell that does not answer is ended; the others go on.
    threads
        Processor threads per cell; 0: all usable.
    cpus
        Processors that cells may run on, as 0-3,8. Default: as many as there are threads, one of every core first.
    streams
        Measure also the throughput of so many sessions at once, which share the threads.
    per_layer
        Show also the time of every layer, from the runtime's own profiler.
    builds
        Build so many engines of the same thing, where the runtime builds any, and show how far they are apart.
    roofline
        Hold cells against what the machine can do at best, which is measured once.
    directory
        Where artifacts are.
    within_budget
        Exit 1, measuring nothing, where a lowered precision has no good verdict on its quality in its manifest.
    output
        The report, which `toolkit report` and `toolkit gate` read.
    html
        Write also a page with charts, complete in itself.
    markdown
        Write also tables for a README or a pull request.
    resume
        Go on with the report that an interrupted run of the same command left at --output.
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
            cpus=processors(cpus),
            boundary=boundary,
            timing_precision=share(precision_of_timing, "--precision-of-timing"),
            cell_timeout=cell_timeout,
            streams=streams,
            per_layer=per_layer,
            builds=builds,
            roofline=roofline,
            within_budget=within_budget,
            output=output,
            resume=resume,
            command=shlex.join(["toolkit", *sys.argv[1:]]),
            advance=advance,
        )
    if json or csv:
        print(report.to_json() if json else report.to_csv(), end="")
    print_report(report, err if json or csv else out)
    toolkit.write_pages([toolkit.TitledReport(output.stem, report)], html, markdown)
    written = ", ".join(str(path) for path in (output, html, markdown) if path is not None)
    err.print(f"written: {written}", markup=False, soft_wrap=True)
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


def _exit(report: toolkit.ProfileReport, runtimes: list[str], asked: list[toolkit.Precision]) -> None:
    """A runtime or engine that was named and did not run is an error, and so is a precision that no artifact ran in."""
    stuck = any(cell.reason and (cell.is_engine or cell.runtime in runtimes) for cell in report.cells)
    ran = {cell.precision for cell in report.cells if not cell.reason and not cell.is_engine}
    if stuck or not ran.issuperset(asked):
        raise SystemExit(toolkit.Unavailable.exit_code)
