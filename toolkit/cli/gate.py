"""`toolkit gate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

import toolkit
from toolkit.cli.arguments import share
from toolkit.cli.console import err, out, table, verdict

_COLOURS = {"slower": "bold red", "broken": "bold red", "cannot tell": "yellow", "faster": "green"}


def gate(
    new: Path,
    /,
    *,
    against: Path,
    max_slowdown: str = "5%",
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Fail (exit 1) where a profile is slower than an older one of the same machine, beyond the noise of both.

    A cell fails only when the whole 95 % interval of its slowdown lies beyond what is allowed, or when it ran before
    and does not any more. What cannot be compared (another boundary, device, number of threads, no cell in common) is
    bad input: exit 2.

    Parameters
    ----------
    new
        The report.json to judge.
    against
        The older report.json.
    max_slowdown
        Of each cell's median: 5% or 0.05.
    json
        Print one JSON document.
    """
    judged = toolkit.gate(toolkit.read_report(new), toolkit.read_report(against), share(max_slowdown, "--max-slowdown"))
    console = err if json else out
    if json:
        print(judged.to_json(), end="")
    rows = table("workload", "cell", "old, ms", "new, ms", "slowdown", "95 % interval", "verdict", right=_NUMBERS)
    measured = [cell for cell in judged.cells if cell.verdict != "did not run"]
    for cell in measured:
        rows.add_row(cell.workload, escape(_name(cell)), *_numbers(cell), _coloured(cell))
    console.print(rows)
    for cell in measured:
        if cell.note:
            console.print(f"{escape(_name(cell))}: {escape(cell.note)}")
    if len(measured) < len(judged.cells):
        console.print(f"{len(judged.cells) - len(measured)} cells ran neither then nor now")
    for note in judged.notes:
        console.print(f"[yellow]note:[/] {escape(note)}")
    console.print(f"at most {judged.max_slowdown:.1%} slower: {verdict(judged.passed)}")
    if not judged.passed:
        raise SystemExit(toolkit.CheckFailed.exit_code)


_NUMBERS = ("old, ms", "new, ms", "slowdown", "95 % interval")


def _name(cell: toolkit.CellVerdict) -> str:
    return cell.artifact if cell.artifact.endswith(".engine") else cell.name


def _numbers(cell: toolkit.CellVerdict) -> list[str]:
    interval = cell.interval
    return [
        "–" if cell.old is None else f"{1000 * cell.old:.2f}",
        "–" if cell.new is None else f"{1000 * cell.new:.2f}",
        "–" if cell.slowdown is None else f"{cell.slowdown:+.1%}",
        "–" if interval is None else f"{interval.low:+.1%} to {interval.high:+.1%}",
    ]


def _coloured(cell: toolkit.CellVerdict) -> str:
    colour = _COLOURS.get(cell.verdict, "")
    return f"[{colour}]{cell.verdict}[/]" if colour else cell.verdict
