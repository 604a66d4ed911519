"""`toolkit report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

import toolkit
from toolkit.cli.console import out, print_json, styled, table
from toolkit.cli.profile_table import print_report


def report(
    *reports: Path,
    html: Path | None = None,
    markdown: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    csv: Annotated[bool, Parameter(negative=())] = False,
    schema: Annotated[bool, Parameter(negative=())] = False,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Show a profile again, or several of other machines or days side by side.

    Parameters
    ----------
    reports
        report.json files that `toolkit profile` wrote; default: the last of report.json, report-2.json, ... here.
    html
        Write a page with charts, complete in itself.
    markdown
        Write tables for a README or a pull request; `-`: to standard output.
    csv
        Print comma-separated values, of one report.
    schema
        Print the JSON Schema of report.json.
    overwrite
        Replace a page or tables that exist.
    """
    if schema:
        print_json(msgspec.json.format(msgspec.json.encode(toolkit.report_schema()), indent=2).decode())
        return
    toolkit.check_outputs(html, markdown, overwrite=overwrite)
    titled = toolkit.read_titled(reports or (toolkit.numbered(Path("report.json"), latest=True),))
    if csv and len(titled) > 1:
        raise toolkit.InputError("--csv is of one report")
    to_stdout = markdown == Path("-")
    if to_stdout:
        print(toolkit.markdown(titled), end="")
    elif csv:
        print(titled[0].report.to_csv(), end="")
    elif len(titled) == 1:
        print_report(titled[0].report, out)
    else:
        _print_several(titled)
    toolkit.write_pages(titled, html, None if to_stdout else markdown, overwrite=overwrite)


def _print_several(reports: Sequence[toolkit.TitledReport]) -> None:
    names = [titled.title for titled in reports]
    for titled in reports:
        here = titled.report.environment
        described = f"{here.processor}, {titled.report.threads} threads, {titled.report.begun[:10]}"
        out.print(styled("[bold]{}[/]: {}", titled.title, described))
    boundary = reports[0].report.boundary
    out.print(styled("\nMedian in ms, over that of {} from the second on; boundary {}", names[0], boundary))
    rows = table("workload", "cell", *names, right=tuple(names))
    for row in toolkit.side_by_side(reports):
        shown = []
        for cell, ratio in zip(row.cells, row.ratios, strict=True):
            if cell is None or cell.statistics is None:
                shown.append("–")
                continue
            text = f"{1000 * cell.statistics.median:.2f}"
            shown.append(text if ratio is None else f"{text} {ratio[0]:.2f}x")
        rows.add_row(row.workload, row.name, *shown)
    out.print(rows)
