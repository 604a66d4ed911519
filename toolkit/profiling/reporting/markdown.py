"""Profile reports as Markdown, for a README or a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.pages.markdown import table
from toolkit.profiling.measuring.statistics import Interval
from toolkit.profiling.reporting.conclusion import conclusions
from toolkit.profiling.reporting.formatting import NONE, interval_text, milliseconds, summary
from toolkit.profiling.reporting.report import CellReport, ProfileReport
from toolkit.profiling.reporting.side_by_side import TitledReport, side_by_side
from toolkit.quoting import markdown as quoted

_HEADER = (
    *("configuration", "executed in", "median, ms", "95 % interval", "p95", "p99", "fps", "late at 30 fps", "MB"),
    "speed-up",
)


def markdown(reports: Sequence[TitledReport]) -> str:
    """Tables of one report, or of several side by side."""
    lines = list(_single(reports[0].report) if len(reports) == 1 else _several(reports))
    return "\n".join(lines) + "\n"


def _single(report: ProfileReport) -> Iterator[str]:
    for conclusion in conclusions(report):
        yield f"**{quoted(conclusion.headline)}**"
        yield ""
        yield from (f"- {quoted(remark)}" for remark in conclusion.remarks)
        yield ""
    yield quoted(summary(report))
    yield ""
    groups: dict[tuple[str, str], list[CellReport]] = {}
    for cell in report.cells:
        if cell.statistics is not None:
            groups.setdefault((cell.workload, "engines" if cell.is_engine else cell.artifact), []).append(cell)
    for (workload, what), cells in groups.items():
        yield f"**{quoted(workload)}**, {quoted(what)}"
        yield ""
        yield from table(_HEADER, [_row(cell) for cell in cells], texts=2)
        yield ""
    reasons: dict[str, list[str]] = {}
    for cell in report.cells:
        if cell.reason:
            reasons.setdefault(cell.reason, []).append(cell.name)
    for reason, names in reasons.items():
        yield f"Not run: {quoted(', '.join(dict.fromkeys(names)))}: {quoted(reason)}"
        yield ""
    for warning in report.warnings:
        yield f"> warning: {quoted(warning)}"
        yield ""


def _row(cell: CellReport) -> tuple[str, ...]:
    times = cell.statistics
    assert times is not None  # noqa: S101  (only measured cells have rows)
    return (
        quoted(cell.name),
        f"**{quoted(cell.arithmetic)}**" if cell.differs else quoted(cell.arithmetic),
        milliseconds(times.median),
        interval_text(times.interval, 1000),
        milliseconds(times.p95),
        milliseconds(times.p99),
        f"{1 / times.median:.2f}",
        f"{times.deadlines[-1].late_share:.0%}",
        NONE if cell.peak_bytes is None else f"{cell.peak_bytes / 1e6:.0f}",
        NONE if cell.speed_up is None else f"{cell.speed_up:.2f}x",
    )


def _several(reports: Sequence[TitledReport]) -> Iterator[str]:
    for titled in reports:
        yield f"- **{quoted(titled.title)}**: {quoted(summary(titled.report))}"
    yield ""
    yield f"Median in ms; in parentheses, its ratio to that of {quoted(reports[0].title)}, with the 95 % interval."
    yield ""
    rows = [
        (
            quoted(row.workload),
            quoted(row.artifact),
            quoted(row.name),
            *(_compared(cell, ratio) for cell, ratio in zip(row.cells, row.ratios, strict=True)),
        )
        for row in side_by_side(reports)
    ]
    header = ("workload", "artifact", "configuration", *(quoted(titled.title) for titled in reports))
    yield from table(header, rows, texts=3)


def _compared(cell: CellReport | None, ratio: tuple[float, Interval | None] | None) -> str:
    if cell is None or cell.statistics is None:
        return NONE
    shown = milliseconds(cell.statistics.median)
    return shown if ratio is None else f"{shown} ({ratio[0]:.2f}, {interval_text(ratio[1])})"
