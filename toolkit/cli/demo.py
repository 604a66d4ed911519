"""`toolkit demo`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_documents, progress_bar, styled, verdict
from toolkit.cli.options import Json, OutputDirectory, Overwrite, flag
from toolkit.errors import CheckFailed

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.demonstration.report import DemoReport


def demo(
    *,
    output: OutputDirectory = Path("demo"),
    open_page: Annotated[bool, flag("Open the page in the browser."), Parameter(name="--open")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Show in a minute what the toolkit does: export, prove, upscale, measure, and write a page.

    Takes the toolkit's own x2 weights and a picture that ships with it; needs no network connection and no GPU. The
    page compares bicubic, Lanczos and RT4KSR with the original by a slider.
    """
    from toolkit.demonstration.demo import demo as run

    with progress_bar() as progress:
        report = run(output, progress, overwrite=overwrite)
    if json:
        print_documents([report])
    _describe(report, err if json else out)
    if open_page:
        webbrowser.open(report.page.resolve().as_uri())
    if not report.passed:
        raise SystemExit(CheckFailed.exit_code)


def _describe(report: DemoReport, console: Console) -> None:
    before, after = report.parameters
    console.print(styled("exported [bold]{}[/]: parameters {:,} → {:,} merged", report.artifact, before, after))
    proved = "proved in {:.0f} s: {} checks, largest error of merged blocks {:.1e} {}"
    passed = verdict(report.passed)
    console.print(styled(proved, report.seconds["proof"], report.checks, report.largest_error, passed))
    scores = ", ".join(f"{name} {value:.2f} dB" for name, value in report.psnr_y.items())
    console.print(styled("upscaled a picture: {}", scores))
    for time in report.frame_times:
        if time.seconds is None:
            console.print(styled("{} on {} did not run: {}", report.workload, time.runtime, time.reason))
        else:
            shown = 1000 * time.seconds, 1 / time.seconds
            console.print(styled("{} on {}: {:.0f} ms, {:.1f} fps", report.workload, time.runtime, *shown))
    console.print(styled("page: [bold]{}[/]", report.page), soft_wrap=True)
