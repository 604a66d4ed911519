"""Rows of a ranking as texts, for the terminal, Markdown and HTML."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.pages.axes import number
from toolkit.profiling.reporting.formatting import NONE, interval_text, milliseconds
from toolkit.ranking.report import RankingReport, Row
from toolkit.workloads import Shape

FRONTIER = "●"
"""Marks rows on the frontier."""

FRONTIER_MEANS = f"{FRONTIER}: no other row is at least as good and at least as fast."


@dataclass(frozen=True)
class Texts:
    """The cells of a row, as text."""

    network: str
    runtime: str
    precision: str
    parameters: str
    multiply_adds: str
    psnr: str
    ssim: str
    gain: str
    median: str
    interval: str
    rate: str
    megabytes: str
    frontier: str

    @classmethod
    def of(cls, row: Row) -> Texts:
        rate = row.gain_per_millisecond
        ran = f"{row.precision}→{'+'.join(row.arithmetic)}" if row.differs else row.precision or ""
        return cls(
            network=row.network,
            runtime=row.runtime,
            precision=ran,
            parameters=NONE if row.parameters is None else number(row.parameters),
            multiply_adds=NONE if row.multiply_adds is None else number(row.multiply_adds),
            psnr=NONE if row.psnr_y is None else f"{row.psnr_y:.3f}",
            ssim=NONE if row.ssim_y is None else f"{row.ssim_y:.4f}",
            gain=NONE if row.gain is None else f"{row.gain:+.3f}",
            median=milliseconds(row.median),
            interval=interval_text(row.interval, 1000),
            rate=NONE if rate is None else f"{rate:.2g}",
            megabytes=NONE if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}",
            frontier=FRONTIER if row.frontier else "",
        )


def headline(report: RankingReport) -> str:
    """What was ranked, on what."""
    given, returned = Shape(*report.given), Shape(*report.returned)
    sets = ", ".join(report.set_names)
    data = f"{report.images} images of {sets}; {report.degradation} where no LR was given, border {report.border}"
    return f"x{report.scale}, {given} to {returned}; quality on {data}"


def conditions(report: RankingReport) -> str:
    """Where and when frame times were measured."""
    here, settings = report.environment, report.settings
    machine = f"{here.processor}, {settings.threads} of {here.processors} CPU threads"
    gpu = f", {here.gpu}" if here.gpu else ""
    return f"{machine}{gpu}; boundary {settings.boundary}; {report.begun[:10]}"


def set_scores(row: Row, names: tuple[str, ...]) -> list[str]:
    """PSNR-Y and SSIM-Y of each set."""
    found = {one.name: one.mean for one in row.sets}
    return [f"{found[name].psnr_y:.3f} / {found[name].ssim_y:.4f}" if name in found else NONE for name in names]


def remarks(report: RankingReport) -> list[tuple[str, str]]:
    """What is missing or different, as names of rows and the reason; rows with the same reason together."""
    reasons: dict[str, list[Row]] = {}
    for row in report.rows:
        if row.reason:
            reasons.setdefault(f"no frame time: {row.reason}", []).append(row)
        if row.quality_reason:
            reasons.setdefault(f"no quality: {row.quality_reason}", []).append(row)
        if row.judged_on:
            reasons.setdefault(f"quality measured on {row.judged_on}", []).append(row)
    return [(_names(rows, report), reason) for reason, rows in reasons.items()]


def _names(rows: list[Row], report: RankingReport) -> str:
    """Names of rows; of runtimes alone where all their rows are among them."""
    names: list[str] = []
    for row in rows:
        whole = all(one in rows for one in report.rows if one.runtime == row.runtime)
        names.append(row.runtime if whole else f"{row.network} on {row.runtime} {row.precision}")
    return ", ".join(dict.fromkeys(names))
