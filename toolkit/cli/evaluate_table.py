"""Tables of image quality on the terminal: PSNR, SSIM, and the gain over bicubic that each precision loses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from toolkit.cli.console import budget_verdict, styled, table
from toolkit.precisions import FULL_PRECISION

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.checks import Limits
    from toolkit.quality.measurement import Metrics
    from toolkit.quality.report import NetworkReport, NotRun, QualityReport


def print_report(report: QualityReport, console: Console) -> None:
    for network in report.networks:
        cut = f"; all images cut to {network.cut_to} (low resolution)" if network.cut_to else ""
        gain = f"x{network.scale}: gain over bicubic {network.gain:.3f} dB PSNR-Y"
        where = f"{report.degradation} where no LR was given{cut}"
        console.print(styled("[bold]{}[/], {}; {}", network.name, gain, where), soft_wrap=True)
        console.print(_quality(network))
        if len(network.subjects) > 1:
            console.print(_losses(network))
        elif network.subjects[0].precision == FULL_PRECISION and not network.not_run:
            console.print("fp32 is the reference: alone it has nothing to lose", style="dim")
        for subject in network.subjects:
            if subject.ran:
                what = f"{subject.name} on {subject.runtime}"
                console.print(styled("[yellow]{}:[/] stored {}, computed {}", what, subject.precision, subject.ran))
        _print_not_run(network.not_run, console)
        console.print()
    _print_not_run(report.not_run, console)


def _print_not_run(subjects: tuple[NotRun, ...], console: Console) -> None:
    for left in subjects:
        what = f"{left.name} on {left.runtime}"
        console.print(styled("[yellow]{} did not run:[/] {}", what, left.reason), soft_wrap=True)


def _quality(network: NetworkReport) -> Table:
    numbers = ("PSNR-Y", "-RGB", "SSIM-Y", "-RGB ")
    rows = table("images", "artifact", "runtime", *numbers, right=numbers)
    subjects = network.subjects
    several = len(subjects[0].sets()) > 1
    for name, (_, baseline) in subjects[0].sets().items():
        rows.add_row(name, "bicubic", "", *_metrics(baseline))
    if several:
        rows.add_row("all", "bicubic", "", *_metrics(network.bicubic))
    for subject in subjects:
        for name, (mean, _) in subject.sets().items():
            rows.add_row(name, subject.name, subject.runtime, *_metrics(mean))
        if several:
            rows.add_row("all", subject.name, subject.runtime, *_metrics(subject.mean))
    return rows


def _losses(network: NetworkReport) -> Table:
    """What each subject loses compared with fp32; unknown where the network gains nothing over bicubic."""
    rows = table("compared with fp32", "runtime", "gain lost", "worst image", "worst patch", "")
    for subject in network.subjects:
        if subject.reference:
            continue
        found = subject.verdict
        kept = (True,) * 3 if found is None or found.spent is None else found.allowed.kept(found.spent)
        bounds = ("",) * 3 if found is None else _bounds(found.allowed)
        mean, image = ("–", "–")
        if subject.spent is not None and subject.worst_image_spent is not None:
            mean, image = f"{subject.spent:.2%}", f"{subject.worst_image_spent:.1%}"
        patch = subject.worst_patch
        cells = mean + bounds[0], image + bounds[1], f"{patch.patch_difference:.2f}{bounds[2]} levels"
        marked = (Text(cell, "" if passed else "red") for cell, passed in zip(cells, kept, strict=True))
        verdict_ = "" if found is None else budget_verdict(found.outcome)
        rows.add_row(subject.name, subject.runtime, *marked, verdict_)
        place = styled("[dim]{} at {},{}[/]", patch.label, patch.patch[1], patch.patch[0])
        rows.add_row("", "", "", styled("[dim]{}[/]", subject.worst_image), place, "")
    return rows


def _bounds(allowed: Limits) -> tuple[str, str, str]:
    return f" of {allowed.mean:.1%}", f" of {allowed.worst_image:.1%}", f" of {allowed.worst_patch:g}"


def _metrics(mean: Metrics) -> tuple[str, str, str, str]:
    return f"{mean.psnr_y:.3f}", f"{mean.psnr_rgb:.3f}", f"{mean.ssim_y:.4f}", f"{mean.ssim_rgb:.4f}"
