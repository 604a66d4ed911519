"""A profile as one HTML page, complete in itself: no scripts, and nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.profiling.reporting.markdown import described, interval_text, milliseconds
from toolkit.profiling.reporting.pictures import comparison, pictures
from toolkit.profiling.reporting.report import CellReport, ProfileReport
from toolkit.profiling.reporting.side_by_side import TitledReport, side_by_side
from toolkit.quoting import html

_STYLE = """
:root{color-scheme:light dark;--page:#fff;--card:#f6f7f9;--ink:#1b1f24;--soft:#59636e;--line:#d8dde3;--warn:#8a4b00;
--warn-page:#fff4e0;--c0:#0a66c2;--c1:#c24a00;--c2:#0b7d5c;--c3:#a3308f;--c4:#7a6200;--c5:#5a4fcf;--c6:#b3261e;
--c7:#4d5b66;--early:#1a7f4b;--fair:#d09a00;--late:#c93a32}
@media(prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2127;--ink:#e7eaee;--soft:#a2acb8;--line:#39414b;
--warn:#ffc46b;--warn-page:#352812;--c0:#6cb2ff;--c1:#ff9a5c;--c2:#4fd1a5;--c3:#ee8bdc;--c4:#e0c341;--c5:#a9a2ff;
--c6:#ff8a80;--c7:#b4c0ca;--early:#46c27f;--fair:#f0c24b;--late:#ff7a70}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:78rem;padding:1rem;color:var(--ink);
background:var(--page)}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.25rem;margin:2rem 0 .5rem;padding-top:.6rem;
border-top:1px solid var(--line)}
h3{font-size:1rem;margin:0 0 .6rem}p{margin:.4rem 0}.soft,figcaption{color:var(--soft)}figcaption{font-size:.85rem;
margin-top:.4rem}
.charts{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));align-items:start;
margin:1rem 0}
figure{margin:0;padding:.9rem;background:var(--card);border:1px solid var(--line);border-radius:.5rem;min-width:0}
svg{display:block;width:100%;max-width:40rem;height:auto;margin:auto}
svg text{font:13px system-ui,sans-serif;fill:var(--ink)}svg text.small{font-size:11.5px;fill:var(--soft)}
svg text.value{font-weight:600}
.grid{stroke:var(--line);stroke-width:1}.mark{stroke:var(--late);stroke-dasharray:4 3}
.median{stroke:var(--ink);stroke-width:2}.interval{stroke:var(--ink);stroke-width:4;opacity:.55}
.roof{fill:none;stroke:var(--soft);stroke-width:1.5}.faint{opacity:.6}
.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}.c5{fill:var(--c5)}
.c6{fill:var(--c6)}.c7{fill:var(--c7)}.early{fill:var(--early)}.fair{fill:var(--fair)}.late{fill:var(--late)}
.scroll{overflow-x:auto;margin:.8rem 0}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500}th.text,td.text{text-align:left}td.otherwise{color:var(--warn);font-weight:600}
.warnings{background:var(--warn-page);color:var(--warn);border-radius:.5rem;padding:.7rem 1rem .7rem 2rem;margin:1rem 0}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem}
td.wrap{white-space:normal;min-width:16rem}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_NONE = "–"

_BOUNDARIES = {
    "compute": "input and output stay where the runtime wants them",
    "host": "from an array in host memory to an array in host memory, copies included",
    "image": "from a decoded uint8 image to another, conversion included",
}


def page(reports: Sequence[TitledReport]) -> str:
    """The page of one report, or of several side by side and then each."""
    title = "RT4KSR frame times" if len(reports) == 1 else "RT4KSR frame times, side by side"
    body = list(_report(reports[0].report)) if len(reports) == 1 else list(_several(reports))
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>{''.join(body)}</body></html>\n"
    )


def _several(reports: Sequence[TitledReport]) -> Iterator[str]:
    items = "".join(f"<li><b>{html(titled.title)}</b>: {html(described(titled.report))}</li>" for titled in reports)
    yield f"<ul>{items}</ul>"
    rows = side_by_side(reports)
    yield "<p class='soft'>Medians; below the first over it, with 95 % intervals that hold the noise of both.</p>"
    header = ("workload", "artifact", "cell", *(titled.title for titled in reports))
    body = []
    for row in rows:
        shown = []
        for cell, ratio in zip(row.cells, row.ratios, strict=True):
            text = _NONE if cell is None or cell.statistics is None else f"{milliseconds(cell.statistics.median)} ms"
            if ratio is not None:
                text += f" = {ratio[0]:.2f}x ({interval_text(ratio[1])})"
            shown.append(text)
        body.append((row.workload, row.artifact, row.name, *shown))
    yield _table(header, body, texts=3)
    yield f"<div class='charts'>{''.join(comparison([titled.title for titled in reports], rows))}</div>"
    for titled in reports:
        yield f"<h1>{html(titled.title)}</h1>"
        yield from _report(titled.report)


def _report(report: ProfileReport) -> Iterator[str]:
    yield f"<p>{html(described(report))}</p>"
    yield (
        f"<p class='soft'>A frame time is {html(_BOUNDARIES[report.boundary])}. ± and intervals: 95 %, by a "
        "bootstrap of blocks of frames. Cells took turns, each in a process of its own, once times were steady.</p>"
    )
    if not report.complete:
        yield "<ul class='warnings'><li>This run was interrupted: cells are missing or unfinished.</li></ul>"
    if report.warnings:
        yield f"<ul class='warnings'>{''.join(f'<li>{html(line)}</li>' for line in report.warnings)}</ul>"
    for workload in dict.fromkeys(cell.workload for cell in report.cells):
        cells = [cell for cell in report.cells if cell.workload == workload]
        measured = [cell for cell in cells if cell.statistics is not None]
        yield f"<h2>{html(workload)}</h2>"
        if measured:
            yield _matrix(measured)
            yield f"<div class='charts'>{''.join(pictures(workload, measured, report.ceilings))}</div>"
        yield from _builds(measured)
        yield from _missing(cells)
    yield "<h2>Environment</h2>"
    yield _environment(report)
    if report.command:
        yield f"<h2>Command</h2><pre>{html(report.command)}</pre>"


def _matrix(cells: Sequence[CellReport]) -> str:
    header = (
        *(
            "artifact",
            "cell",
            "asked",
            "ran",
            "median, ms",
            "95 % interval",
            "p90",
            "p95",
            "p99",
            "p99.9",
            "min",
            "jitter",
        ),
        *(
            "fps",
            "late at 60",
            "late at 30",
            "late in a row",
            "MB",
            "roof",
            "J/frame",
            "speed-up",
            "interval",
            "frames",
        ),
        *("warm-up",),
    )
    rows = [(cell.artifact, cell.name, cell.precision, cell.arithmetic or _NONE, *_numbers(cell)) for cell in cells]
    return _table(header, rows, texts=4, marked=[3 if cell.differs else None for cell in cells])


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
        _NONE if cell.peak_bytes is None else f"{cell.peak_bytes / 1e6:.0f}",
        _NONE if cell.roofline is None else f"{cell.roofline.share:.0%}",
        f"{sum(joules):.2f}" if joules else _NONE,
        _NONE if cell.speed_up is None else f"{cell.speed_up:.2f}x",
        interval_text(cell.speed_up_interval),
        str(times.trials),
        _NONE if warm_up is None else f"{warm_up.frames}{'' if warm_up.steady else ' (not steady)'}",
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
        yield "<h3>Builds of the same engine</h3>"
        yield _table(("cell", "build", "median, ms", "95 % interval", "largest output difference"), rows, texts=1)


def _missing(cells: Sequence[CellReport]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for cell in cells:
        if cell.reason:
            reasons.setdefault(cell.reason, []).append(cell.name)
    for reason, names in reasons.items():
        yield f"<p><b>{html(', '.join(dict.fromkeys(names)))}</b> did not run: {html(reason)}</p>"


def _environment(report: ProfileReport) -> str:
    here, settings = report.environment, report.settings
    facts = {
        "begun": report.begun,
        "system": here.system,
        "processor": f"{here.processor}{' (virtual)' if here.virtual else ''}",
        "instructions": ", ".join(here.processor_flags),
        "processors": f"{here.processors} usable, {here.cores or '?'} cores",
        "threads": f"{settings.threads}, on processors {', '.join(map(str, settings.cpus)) or 'any'}",
        "frequency governor": here.governor or "not to be seen",
        "memory": f"{here.memory_bytes / 1e9:.1f} GB",
        "load when it began": f"{here.load:.2f}",
        "GPU": f"{here.gpu} (driver {here.gpu_driver or '?'})" if here.gpu else "none",
        **{
            f"ceiling, {ceiling.device}": f"{ceiling.bytes_per_second / 1e9:.1f} GB/s; "
            + ", ".join(f"{name} {rate / 1e9:.0f} G" for name, rate in ceiling.multiply_adds_per_second.items())
            + f" multiply-adds/s ({ceiling.method})"
            for ceiling in report.ceilings
        },
        "measured": f"{settings.duration:g} s a cell, or until the median is known to {settings.timing_precision:.1%}",
        "Python": here.python,
        "packages": ", ".join(f"{name} {version}" for name, version in here.packages.items()),
    }
    rows = "".join(
        f"<tr><td class='text'>{html(name)}</td><td class='text wrap'>{html(value)}</td></tr>"
        for name, value in facts.items()
    )
    return f"<div class='scroll'><table>{rows}</table></div>"


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int, marked: Sequence[int | None] = ()
) -> str:
    """The first `texts` columns are text; of each row at most one cell is marked."""

    def kind(index: int, row: int | None = None) -> str:
        classes = ["text"] if index < texts else []
        if row is not None and row < len(marked) and marked[row] == index:
            classes.append("otherwise")
        return f" class='{' '.join(classes)}'" if classes else ""

    head = "".join(f"<th{kind(index)}>{html(name)}</th>" for index, name in enumerate(header))
    body = "".join(
        f"<tr>{''.join(f'<td{kind(index, number)}>{html(text)}</td>' for index, text in enumerate(row))}</tr>"
        for number, row in enumerate(rows)
    )
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
