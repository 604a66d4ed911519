"""`toolkit rank`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from toolkit.cli.console import err, out, print_json, progress_bar, styled
from toolkit.cli.options import (
    Html,
    Images,
    Json,
    Markdown,
    Overwrite,
    Precisions,
    Resume,
    Seconds,
    SubjectText,
    Threads,
    flag,
)
from toolkit.cli.paths import STDOUT, output_file
from toolkit.cli.values import precisions, size, split
from toolkit.errors import CheckFailed, InputError, Unavailable
from toolkit.precisions import FULL_PRECISION
from toolkit.quoting import shell
from toolkit.system.atomic import check_outputs
from toolkit.workloads import WORKLOADS, parse_workload

if TYPE_CHECKING:
    from toolkit.ranking.report import RankingReport


@Parameter(name="*", group=Group("Results", sort_key=2))
@dataclass(frozen=True, kw_only=True)
class Results:
    """Where results go."""

    output: Annotated[
        Path | None,
        Parameter(
            help="Ranking file (.json). Frame times are kept beside it in NAME.profile.json, which `toolkit report` "
            "reads.",
            alias="-o",
            validator=output_file(".json"),
        ),
    ] = None
    html: Annotated[Html, Parameter(help="Write a self-contained HTML page: quality against frame time.")] = None
    markdown: Annotated[
        Markdown,
        Parameter(help="Write a Markdown table for a README or a pull request. `-`: to standard output."),
    ] = None
    overwrite: Overwrite = False
    resume: Annotated[
        Resume,
        flag("Continue the frame times that an interrupted run left beside --output; quality is measured again."),
    ] = False
    json: Json = False

    def __post_init__(self) -> None:
        if self.json and self.markdown == STDOUT:
            raise InputError("--json and --markdown - cannot be combined")
        if self.resume and self.output is None:
            raise InputError("--resume requires --output")

    @property
    def markdown_file(self) -> Path | None:
        return None if self.markdown == STDOUT else self.markdown


_RESULTS = Results()


def rank(
    *networks: SubjectText,
    images: Images,
    at: str | None = None,
    runtime: str | None = None,
    precision: Annotated[
        Precisions,
        Parameter(
            help="Comma-separated precisions of fp32 networks: fp32, fp16, bf16, int8. They are converted for this "
            "run; other artifacts are measured in their own."
        ),
    ] = FULL_PRECISION,
    downscale: Annotated[
        Literal["matlab", "pillow"],
        Parameter(help="Bicubic implementation that creates missing low-resolution images."),
    ] = "matlab",
    jpeg: Annotated[
        int | None,
        Parameter(help="Compress low-resolution images as JPEG of this quality, 1 to 100. Default: no."),
    ] = None,
    border: Annotated[int | None, Parameter(help="Pixels to ignore at each edge. Default: the scale.")] = None,
    duration: Seconds = 5.0,
    threads: Threads = 0,
    results: Results = _RESULTS,
) -> None:
    """Rank networks at one target size: quality, frame time, work and memory, beside bicubic.

    All networks must reach the same size from the same input. PSNR-Y and SSIM-Y are measured on the same images for
    all, as by `toolkit evaluate`; frame times side by side, as by `toolkit profile`. Rows are sorted by gain over
    bicubic. Exit code 3: a runtime or engine that was named did not run.

    Parameters
    ----------
    networks
        Checkpoints, artifacts and engines: PATH or PATH@RUNTIME. Checkpoints are exported for this run.
    at
        Workload: 2160p-4k (x1), 1080p-4k (x2), 720p-4k (x3), 540p-4k (x4), or the size of the input (WIDTHxHEIGHT).
        Default: the 4K workload of the networks' scale.
    runtime
        Comma-separated inference runtimes of networks without @RUNTIME. Default: all that run the ONNX graph. See
        `toolkit doctor`.
    """
    if not networks:
        raise InputError("no network was given", "Name checkpoints, artifacts or engines.")
    if at is not None and at not in WORKLOADS:
        err.print(styled("input size {}", size(parse_workload(at).shape.sides)), soft_wrap=True)
    asked, runtimes = precisions(precision), split(runtime)
    replaced = results.overwrite or results.resume
    check_outputs(results.output, results.html, results.markdown_file, overwrite=replaced)
    from toolkit.quality.data import Degradation
    from toolkit.ranking.ranking import rank as run

    with progress_bar() as progress:
        report = run(
            networks,
            images,
            at,
            runtimes or None,
            asked,
            degradation=Degradation(downscale, jpeg),
            border=border,
            duration=duration,
            threads=threads,
            output=results.output,
            resume=results.resume,
            overwrite=results.overwrite,
            command=shell(["toolkit", *sys.argv[1:]]),
            progress=progress,
        )
    _show(report, results, replaced=replaced)
    _exit(report, runtimes)


def _show(report: RankingReport, results: Results, *, replaced: bool) -> None:
    from toolkit.cli.rank_table import print_ranking
    from toolkit.ranking.markdown import markdown
    from toolkit.ranking.pages import write_pages
    from toolkit.ranking.ranking import frame_times_beside

    to_stdout = results.markdown == STDOUT
    if results.json:
        print_json(report.to_json())
    elif to_stdout:
        print(markdown(report), end="")
    print_ranking(report, err if results.json or to_stdout else out)
    write_pages(report, results.html, results.markdown_file, overwrite=replaced)
    frame_times = None if results.output is None else frame_times_beside(results.output)
    files = [path for path in (results.output, frame_times, results.html, results.markdown_file) if path is not None]
    if files:
        err.print(styled("written: {}", ", ".join(map(str, files))), soft_wrap=True)


def _exit(report: RankingReport, runtimes: list[str]) -> None:
    """Exit with 1 if a network failed, and with 3 if a runtime that was named did not run, or none did."""
    if any(row.failed for row in report.rows):
        raise SystemExit(CheckFailed.exit_code)
    networks = [row for row in report.rows if not row.is_bicubic]
    stuck = any(row.reason and (row.demanded or row.runtime in runtimes) for row in networks)
    if stuck or all(row.reason for row in networks):
        raise SystemExit(Unavailable.exit_code)
