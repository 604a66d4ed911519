"""Tables of video quality on the terminal: means over the clips of each kind of input, and worst frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.cli.console import styled, table
from toolkit.quality.videos.page import COLUMNS, cells
from toolkit.quality.videos.report import mean_metrics

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from toolkit.quality.videos.report import ScaleReport, VideoQualityReport


def print_video_report(report: VideoQualityReport, console: Console) -> None:
    vmaf = ", ".join(report.vmaf_models)
    for scale in report.scales:
        clips = len({item.clip for item in scale.inputs})
        console.print(
            styled("[bold]x{}[/], {} clips: means over frames; gain is dB of PSNR-Y over bicubic", scale.scale, clips),
            soft_wrap=True,
        )
        console.print(_means(scale))
        console.print(_worst(scale))
        for subject in scale.subjects:
            if subject.ran:
                what = f"{subject.name} on {subject.runtime}"
                console.print(styled("[yellow]{}:[/] stored {}, computed {}", what, subject.precision, subject.ran))
        for left in scale.not_run:
            what = f"{left.name} on {left.runtime}"
            console.print(styled("[yellow]{} did not run:[/] {}", what, left.reason), soft_wrap=True)
        console.print()
    if vmaf:
        console.print(styled("[dim]VMAF model: {}[/]", vmaf))
    else:
        console.print(styled("[dim]no VMAF: {}[/]", report.vmaf_missing), soft_wrap=True)


def _means(scale: ScaleReport) -> Table:
    """Means over clips, by kind of input; SSIM of chroma is left out, for want of width."""
    shown = [column for column in COLUMNS if column not in ("-U ", "-V ")]
    rows = table("method", "runtime", *shown, right=tuple(shown))
    for label, positions in scale.groups().items():
        known = [rate for index in positions if (rate := scale.inputs[index].kbit_s) is not None]
        title = f"{label}, {sum(known) / len(known):.0f} kbit/s" if known else label
        rows.add_row(styled("[bold]{}[/]", title))
        baseline = mean_metrics([scale.inputs[index].bicubic for index in positions])
        for number, (name, runtime, scores) in enumerate(scale.methods()):
            mean = mean_metrics([scores[index] for index in positions]) if number else baseline
            by_column = dict(zip(COLUMNS, cells(mean, baseline), strict=True))
            rows.add_row(name, runtime, *(by_column[column] for column in shown))
    return rows


def _worst(scale: ScaleReport) -> Table:
    """The worst frame of each network for each kind of input."""
    rows = table("worst frame of", "runtime", "input", "clip", "frame", "PSNR-Y", right=("frame", "PSNR-Y"))
    for subject in scale.subjects:
        for label, positions in scale.groups().items():
            index = min(positions, key=lambda position: subject.scores[position].worst_psnr_y)
            score = subject.scores[index]
            clip, frame = scale.inputs[index].clip, str(score.worst_frame)
            rows.add_row(subject.name, subject.runtime, label, clip, frame, f"{score.worst_psnr_y:.2f}")
    return rows
