"""Rankings on the terminal: a table within 100 columns, and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.cli.console import styled, table
from toolkit.ranking.texts import FRONTIER_MEANS, Texts, conditions, headline, remarks, set_scores

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.ranking.report import RankingReport

_NUMBERS = ("para-\nmeters", "MACs", "PSNR-Y\ndB", "SSIM-Y", "gain\ndB", "ms", "gain/ms\ndB", "MB")


def print_ranking(report: RankingReport, console: Console) -> None:
    """Print the rows that were measured, their scores by set if there are several, and what is missing."""
    console.print(styled("[bold]{}[/]: {}", report.workload, headline(report)))
    rows = table("network", "runtime", "preci-\nsion", *_NUMBERS, "", right=_NUMBERS)
    for column in rows.columns[:3]:
        column.no_wrap, column.overflow = False, "fold"  # long names are wrapped, not cut
    for row in report.measured:
        shown = Texts.of(row)
        precision = styled("[yellow]{}[/]", shown.precision) if row.differs else styled("{}", shown.precision)
        numbers = (shown.parameters, shown.multiply_adds, shown.psnr, shown.ssim, shown.gain, shown.median, shown.rate)
        rows.add_row(shown.network, shown.runtime, precision, *numbers, shown.megabytes, shown.frontier)
    console.print(rows)
    console.print(styled("[dim]MACs: multiply-adds for one frame. {}[/]", FRONTIER_MEANS))
    console.print(styled("[dim]{}[/]", conditions(report)))
    if len(report.set_names) > 1:
        _print_sets(report, console)
    for subjects, reason in remarks(report):
        console.print(styled("[yellow]{}:[/] {}", subjects, reason))
    for warning in report.warnings:
        console.print(styled("[yellow]warning:[/] {}", warning))


def _print_sets(report: RankingReport, console: Console) -> None:
    console.print(styled("\n[bold]PSNR-Y / SSIM-Y by set[/]"))
    names = report.set_names
    rows = table("network", "runtime", "precision", *names, right=names)
    for row in report.measured:
        if row.sets:
            rows.add_row(row.network, row.runtime, row.precision or "", *set_scores(row, names))
    console.print(rows)
