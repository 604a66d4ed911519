"""`toolkit report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_documents, styled, table
from toolkit.cli.options import Csv, Html, InputFile, Json, Markdown, Overwrite, flag
from toolkit.cli.paths import STDOUT, existing_file
from toolkit.errors import InputError
from toolkit.system.atomic import check_outputs, numbered

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.profiling.reporting.side_by_side import TitledReport


def report(
    *reports: InputFile,
    html: Annotated[Html, Parameter(help="Write a self-contained HTML page with charts.")] = None,
    markdown: Annotated[
        Markdown,
        Parameter(help="Write Markdown tables for a README or a pull request. `-`: to standard output."),
    ] = None,
    csv: Annotated[Csv, flag("Print one report as comma-separated values.")] = False,
    json: Annotated[Json, flag("Print the report as one JSON document, or a list of several.")] = False,
    schema: Annotated[bool, flag("Print the JSON Schema of report.json.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Show a saved profile again, or several of other machines or days side by side.

    Parameters
    ----------
    reports
        report.json files from `toolkit profile`. Default: the last of report.json, report-2.json, ... in the current
        directory.
    """
    if csv and len(reports) > 1:
        raise InputError("--csv prints one report")
    if json + csv + (markdown == STDOUT) > 1:
        raise InputError("only one of --json, --csv and --markdown - can be printed")
    check_outputs(html, markdown, overwrite=overwrite)
    paths = reports or (numbered(Path("report.json"), latest=True),)
    if schema:
        _print_schema()
        return
    for path in paths:
        existing_file(path)
    from toolkit.cli.profile_table import print_report
    from toolkit.profiling.reporting.markdown import markdown as in_markdown
    from toolkit.profiling.reporting.pages import write_pages
    from toolkit.profiling.reporting.side_by_side import read_titled

    titled = read_titled(paths)
    to_stdout = markdown == STDOUT
    if to_stdout:
        print(in_markdown(titled), end="")
    elif csv:
        print(titled[0].report.to_csv(), end="")
    else:
        if json:
            print_documents([item.report for item in titled])
        console = err if json else out
        if len(titled) == 1:
            print_report(titled[0].report, console)
        else:
            _print_several(titled, console)
    write_pages(titled, html, None if to_stdout else markdown, overwrite=overwrite)


def _print_schema() -> None:
    from toolkit.profiling.reporting.reading import report_schema

    print_documents([report_schema()])


def _print_several(reports: Sequence[TitledReport], console: Console) -> None:
    from toolkit.profiling.reporting.side_by_side import side_by_side

    names = [titled.title for titled in reports]
    for titled in reports:
        here = titled.report.environment
        described = f"{here.processor}, {titled.report.threads} threads, {titled.report.begun[:10]}"
        console.print(styled("[bold]{}[/]: {}", titled.title, described))
    boundary = reports[0].report.boundary
    console.print(styled("\nMedian in ms, and relative to {}; boundary {}", names[0], boundary))
    rows = table("workload", "configuration", *names, right=tuple(names))
    for row in side_by_side(reports):
        shown = []
        for cell, ratio in zip(row.cells, row.ratios, strict=True):
            if cell is None or cell.statistics is None:
                shown.append("–")
                continue
            text = f"{1000 * cell.statistics.median:.2f}"
            shown.append(text if ratio is None else f"{text} {ratio[0]:.2f}x")
        rows.add_row(row.workload, row.name, *shown)
    console.print(rows)
