"""Profile reports as one HTML page with charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.pages.document import document, facts, figures, fold, table, warnings
from toolkit.profiling.reporting.conclusion import conclusions
from toolkit.profiling.reporting.figures import comparison, workload_figures
from toolkit.profiling.reporting.formatting import NONE, interval_text, milliseconds, several_networks, summary
from toolkit.profiling.reporting.report import CellReport, ProfileReport
from toolkit.profiling.reporting.side_by_side import TitledReport, side_by_side
from toolkit.quoting import html

_BOUNDARIES = {
    "compute": "covers inference only; input and output stay in the runtime's memory",
    "host": "is measured from an array in host memory to an array in host memory, copies included",
    "image": "is measured from a decoded uint8 image to another, conversion included",
}

_HEADER = (
    *("artifact", "configuration", "requested", "executed in", "median, ms", "95 % interval"),
    *("p90", "p95", "p99", "p99.9", "min", "jitter", "fps", "late at 60 fps", "late at 30 fps", "longest late run"),
    *("MB", "% of roofline", "J/frame", "speed-up", "95 % interval", "frames", "warm-up"),
)
_OVERVIEW = "configuration", "median, ms", "95 % interval", "fps", "late at 30 fps", "gain lost"
_EXECUTED = _HEADER.index("executed in")


def page(reports: Sequence[TitledReport]) -> str:
    """The page of one report, or of several side by side followed by each of them."""
    if len(reports) == 1:
        return document("RT4KSR frame times", _report(reports[0].report))
    return document("RT4KSR frame times, side by side", _several(reports))


def _several(reports: Sequence[TitledReport]) -> Iterator[str]:
    items = "".join(f"<li><b>{html(titled.title)}</b>: {html(summary(titled.report))}</li>" for titled in reports)
    yield f"<ul>{items}</ul>"
    rows = side_by_side(reports)
    yield "<p class='soft'>Medians, and their ratio to that of the first report, with 95 % intervals.</p>"
    header = ("workload", "artifact", "configuration", *(titled.title for titled in reports))
    body = []
    for row in rows:
        shown = []
        for cell, ratio in zip(row.cells, row.ratios, strict=True):
            text = NONE if cell is None or cell.statistics is None else f"{milliseconds(cell.statistics.median)} ms"
            if ratio is not None:
                text += f" = {ratio[0]:.2f}x ({interval_text(ratio[1])})"
            shown.append(text)
        body.append((row.workload, row.artifact, row.name, *shown))
    yield table(header, body, texts=3)
    yield figures(comparison([titled.title for titled in reports], rows))
    for titled in reports:
        yield f"<h1>{html(titled.title)}</h1>"
        yield from _report(titled.report)


def _report(report: ProfileReport) -> Iterator[str]:
    for conclusion in conclusions(report):
        yield f"<p class='headline'>{html(conclusion.headline)}</p>"
        yield "".join(f"<p>{html(remark)}</p>" for remark in conclusion.remarks)
    yield f"<p>{html(summary(report))}</p>"
    yield (
        f"<p class='soft'>A frame time {html(_BOUNDARIES[report.boundary])}. Intervals are 95 % confidence intervals, "
        "from a bootstrap over blocks of frames. Configurations ran in processes of their own and took turns, after "
        "their frame times had become steady.</p>"
    )
    if not report.complete:
        yield warnings(["This run was interrupted: configurations are missing or unfinished."])
    if report.warnings:
        count = len(report.warnings)
        first = f"{count} measurement warning{'s' * (count > 1)}: {report.warnings[0]}"
        yield fold(first, warnings(report.warnings))
    for workload in dict.fromkeys(cell.workload for cell in report.cells):
        cells = [cell for cell in report.cells if cell.workload == workload]
        measured = [cell for cell in cells if cell.statistics is not None]
        yield f"<h2>{html(workload)}</h2>"
        if measured:
            yield _overview(measured)
            yield fold("All columns: percentiles, memory, energy, roofline", _measurements(measured))
            yield figures(workload_figures(workload, measured, report.ceilings))
        yield from _builds(measured)
        yield from _missing(cells)
    yield "<h2>How it was measured</h2>"
    if report.command:
        yield f"<pre>{html(report.command)}</pre>"
    yield fold("Environment", facts(_environment(report)))


def _overview(cells: Sequence[CellReport]) -> str:
    """What decides, the fastest first: six columns, which a phone has room for."""
    several = several_networks(cells)
    ordered = sorted(cells, key=lambda cell: 0.0 if cell.statistics is None else cell.statistics.median)
    rows = []
    for cell in ordered:
        times = cell.statistics
        assert times is not None  # noqa: S101  (only measured cells have rows)
        name = f"{cell.artifact}, {cell.runtime}" if several and not cell.is_engine else cell.name
        lost = NONE if cell.spent is None else f"{cell.spent:.1%}"
        rows.append(
            (
                f"{name} (executed in {cell.arithmetic})" if cell.differs else name,
                milliseconds(times.median),
                interval_text(times.interval, 1000),
                f"{1 / times.median:.1f}",
                f"{times.deadlines[-1].late_share:.0%}",
                lost,
            )
        )
    marked = [0 if cell.differs else None for cell in ordered]
    return table(_OVERVIEW, rows, texts=1, marked=marked)


def _measurements(cells: Sequence[CellReport]) -> str:
    rows = [(cell.artifact, cell.name, cell.precision, cell.arithmetic or NONE, *_numbers(cell)) for cell in cells]
    return table(_HEADER, rows, texts=4, marked=[_EXECUTED if cell.differs else None for cell in cells])


def _numbers(cell: CellReport) -> tuple[str, ...]:
    times = cell.statistics
    assert times is not None  # noqa: S101  (only measured cells have rows)
    sixty, thirty = times.deadlines
    found = cell.conditions
    joules = [value for value in (found.processor_joules, found.gpu_joules) if value is not None] if found else []
    warm_up = cell.warm_up
    return (
        milliseconds(times.median),
        interval_text(times.interval, 1000),
        *(milliseconds(value) for value in (times.p90, times.p95, times.p99, times.p999, times.minimum, times.jitter)),
        f"{1 / times.median:.2f}",
        f"{sixty.late_share:.0%}",
        f"{thirty.late_share:.0%}",
        str(thirty.longest_late_run),
        NONE if cell.peak_bytes is None else f"{cell.peak_bytes / 1e6:.0f}",
        NONE if cell.roofline is None else f"{cell.roofline.share:.0%}",
        f"{sum(joules):.2f}" if joules else NONE,
        NONE if cell.speed_up is None else f"{cell.speed_up:.2f}x",
        interval_text(cell.speed_up_interval),
        str(times.trials),
        NONE if warm_up is None else f"{warm_up.frames}{'' if warm_up.steady else ' (not steady)'}",
    )


def _builds(cells: Sequence[CellReport]) -> Iterator[str]:
    rows = [
        (
            cell.name,
            str(number),
            milliseconds(build.median),
            interval_text(build.interval, 1000),
            f"{build.difference:.2g}",
        )
        for cell in cells
        for number, build in enumerate(cell.builds, start=1)
    ]
    if rows:
        yield "<h3>Several builds of the same engine</h3>"
        header = ("configuration", "build", "median, ms", "95 % interval", "largest output difference from build 1")
        yield table(header, rows, texts=1)


def _missing(cells: Sequence[CellReport]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        if cell.reason:
            reasons.setdefault(cell.reason, []).append(cell.name)
    lines = [
        f"<p><b>{html(', '.join(dict.fromkeys(names)))}</b> did not run: {html(reason)}</p>"
        for reason, names in reasons.items()
    ]
    if len(lines) < 2:
        yield from lines
    else:
        names = dict.fromkeys(name for part in reasons.values() for name in part)
        yield fold(f"{len(names)} configurations did not run: {', '.join(names)}", "".join(lines))


def _environment(report: ProfileReport) -> dict[str, str]:
    here, settings = report.environment, report.settings
    return {
        "started": report.begun,
        "system": here.system,
        "CPU": f"{here.processor}{' (virtual)' if here.virtual else ''}",
        "CPU instruction sets": ", ".join(here.processor_flags),
        "CPU threads": f"{here.processors} usable; {here.cores or '?'} cores",
        "threads used": f"{settings.threads}, on CPUs {', '.join(map(str, settings.cpus)) or 'any'}",
        "frequency governor": here.governor or "not reported",
        "memory": f"{here.memory_bytes / 1e9:.1f} GB",
        "load average at the start": f"{here.load:.2f}",
        "GPU": f"{here.gpu} (driver {here.gpu_driver or '?'})" if here.gpu else "none",
        **{
            f"roofline, {ceiling.device}": f"{ceiling.bytes_per_second / 1e9:.1f} GB/s; "
            + ", ".join(f"{name} {rate / 1e9:.0f} G" for name, rate in ceiling.multiply_adds_per_second.items())
            + f" multiply-adds/s ({ceiling.method})"
            for ceiling in report.ceilings
        },
        "measured": (
            f"{settings.duration:g} s per configuration, or until the 95 % interval of the median is narrower than "
            f"{settings.timing_precision:.1%}"
        ),
        "Python": here.python,
        "packages": ", ".join(f"{name} {version}" for name, version in here.packages.items()),
    }
