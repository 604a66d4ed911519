"""Rankings as one HTML page: the table, and quality against frame time."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.pages.charts import COLOURS, Bar, Line, Point, bars, scatter
from toolkit.pages.document import document, facts, figure, figures, table, warnings
from toolkit.quoting import html
from toolkit.ranking.report import RankingReport, Row
from toolkit.ranking.texts import FRONTIER_MEANS, Texts, conditions, headline, remarks, set_scores

_HEADER = (
    *("network", "runtime", "precision", "parameters", "multiply-adds", "PSNR-Y, dB", "SSIM-Y", "gain, dB"),
    *("median, ms", "95 % interval", "gain per ms, dB", "peak MB", "frontier"),
)


def page(report: RankingReport) -> str:
    """The page of a ranking."""
    return document(f"Networks at {report.workload}", _content(report))


def _content(report: RankingReport) -> Iterator[str]:
    yield f"<p>{html(headline(report))}</p><p class='soft'>{html(conditions(report))}</p>"
    if report.warnings:
        yield warnings(report.warnings)
    names = report.set_names if len(report.set_names) > 1 else ()
    header = (*_HEADER, *(f"{name}, PSNR-Y / SSIM-Y" for name in names))
    rows = [_row(row, names) for row in report.measured]
    yield table(header, rows, texts=3, marked=[2 if row.differs else None for row in report.measured])
    yield f"<p class='soft'>{html(FRONTIER_MEANS)}</p>"
    styles = _styles(report)
    yield figures([_quality(report, styles), _rates(report, styles)])
    for subjects, reason in remarks(report):
        yield f"<p><b>{html(subjects)}</b>: {html(reason)}</p>"
    yield "<h2>Licences</h2>"
    yield facts({row.network: row.licence or "not stated" for row in report.rows if not row.is_bicubic})
    if report.command:
        yield f"<h2>Command</h2><pre>{html(report.command)}</pre>"


def _row(row: Row, names: tuple[str, ...]) -> list[str]:
    shown = Texts.of(row)
    return [
        *(shown.network, shown.runtime, shown.precision, shown.parameters, shown.multiply_adds),
        *(shown.psnr, shown.ssim, shown.gain, shown.median, shown.interval, shown.rate, shown.megabytes),
        shown.frontier,
        *set_scores(row, names),
    ]


def _styles(report: RankingReport) -> dict[str, str]:
    """A colour for each network."""
    networks = dict.fromkeys(row.network for row in report.rows)
    return {name: f"c{index % COLOURS}" for index, name in enumerate(networks)}


def _label(row: Row) -> str:
    return row.network if row.is_bicubic else f"{row.network}, {row.runtime} {row.precision}"


def _quality(report: RankingReport, styles: dict[str, str]) -> str:
    title = f"{report.workload}: quality and frame time"
    points, frontier = [], []
    for row in report.rows:
        if row.gain is None or row.median is None:
            continue
        points.append(Point(1000 * row.median, row.gain, _label(row), styles[row.network]))
        if row.frontier:
            frontier.append((1000 * row.median, row.gain))
    if not points:
        return figure(title, "", "Not available: no row has both.")
    lines = [Line(tuple(sorted(frontier)), "frontier")] if len(frontier) > 1 else []
    caption = (
        "Upper left is better. Gain: mean PSNR-Y over that of bicubic. The line joins the frontier, of which no other "
        "row is at least as good and at least as fast."
    )
    return figure(title, scatter(title, points, "ms per frame", "dB over bicubic", lines=lines), caption)


def _rates(report: RankingReport, styles: dict[str, str]) -> str:
    title = f"{report.workload}: gain per millisecond"
    rows = []
    for row in report.rows:
        rate = row.gain_per_millisecond
        if rate is not None and rate > 0:
            shown = f"{rate:.2g} dB/ms"
            rows.append(Bar(_label(row), shown, ((rate, styles[row.network], shown),)))
    rows.sort(key=lambda row: -row.parts[0][0])
    caption = "dB of PSNR-Y over bicubic for each millisecond of a frame. Longer is better."
    return figure(title, bars(title, rows, "dB/ms"), caption)
