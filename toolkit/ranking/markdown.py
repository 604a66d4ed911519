"""Rankings as Markdown, for a README or a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.pages.markdown import table
from toolkit.quoting import markdown as quoted
from toolkit.ranking.report import RankingReport, Row
from toolkit.ranking.texts import FRONTIER_MEANS, Texts, conditions, headline, remarks, set_scores

_HEADER = (
    *("network", "runtime", "precision", "parameters", "multiply-adds", "PSNR-Y, dB", "SSIM-Y", "gain, dB"),
    *("median, ms", "95 % interval", "gain per ms, dB", "MB", ""),
)


def markdown(report: RankingReport) -> str:
    """A table of all rows that were measured, and what is missing."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: RankingReport) -> Iterator[str]:
    yield f"**{quoted(report.workload)}**, {quoted(headline(report))}"
    yield ""
    names = report.set_names if len(report.set_names) > 1 else ()
    header = [*_HEADER, *(f"{quoted(name)}, PSNR-Y / SSIM-Y" for name in names)]
    yield from table(header, [_row(row, names) for row in report.measured], texts=3)
    yield ""
    yield quoted(f"{FRONTIER_MEANS} Bicubic interpolation is Pillow's, with one thread. {conditions(report)}.")
    yield ""
    for rows, reason in remarks(report):
        yield f"{quoted(rows)}: {quoted(reason)}"
        yield ""
    for warning in report.warnings:
        yield f"> warning: {quoted(warning)}"
        yield ""


def _row(row: Row, names: tuple[str, ...]) -> list[str]:
    shown = Texts.of(row)
    return [
        quoted(shown.network),
        quoted(shown.runtime),
        f"**{quoted(shown.precision)}**" if row.differs else quoted(shown.precision),
        *(shown.parameters, shown.multiply_adds, shown.psnr, shown.ssim, shown.gain),
        *(shown.median, shown.interval, shown.rate, shown.megabytes, shown.frontier),
        *set_scores(row, names),
    ]
