"""`toolkit gate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

import toolkit
from toolkit.cli.arguments import share
from toolkit.cli.console import err, out, print_json, styled, table, verdict

_STYLES = {"slower": "bold red", "broken": "bold red", "cannot tell": "yellow", "faster": "green"}


def gate(
    new: Path,
    /,
    *,
    against: Path,
    max_slowdown: str = "5%",
    allow_inconclusive: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Fail (exit 1) where a profile is slower than an older one of the same machine, beyond the noise of both.

    A configuration fails when the whole 95 % interval of its slowdown lies beyond what is allowed, or when it ran
    before and does not run any more. It passes when the whole interval lies within what is allowed. Where the interval
    reaches across, or there are fewer than five frames, the gate cannot tell: exit 4. Reports that cannot be compared
    (another boundary, device or number of threads, nothing in common) are bad input: exit 2.

    Parameters
    ----------
    new
        The report.json to judge.
    against
        The older report.json.
    max_slowdown
        Of each cell's median: 5% or 0.05.
    allow_inconclusive
        Exit 0 where the gate cannot tell.
    json
        Print one JSON document.
    """
    judged = toolkit.gate(toolkit.read_report(new), toolkit.read_report(against), share(max_slowdown, "--max-slowdown"))
    console = err if json else out
    if json:
        print_json(judged.to_json())
    rows = table("workload", "cell", "old, ms", "new, ms", "slowdown", "95 % interval", "verdict", right=_NUMBERS)
    measured = [cell for cell in judged.cells if cell.verdict != "did not run"]
    for cell in measured:
        rows.add_row(cell.workload, _name(cell), *_numbers(cell), Text(cell.verdict, _STYLES.get(cell.verdict, "")))
    console.print(rows)
    for cell in measured:
        if cell.note:
            console.print(styled("{}: {}", _name(cell), cell.note))
    if len(measured) < len(judged.cells):
        console.print(styled("{} cells ran neither then nor now", len(judged.cells) - len(measured)))
    for note in judged.notes:
        console.print(styled("[yellow]note:[/] {}", note))
    outcome = styled("[yellow]cannot tell[/]") if judged.outcome == "inconclusive" else verdict(judged.passed)
    console.print(styled("at most {:.1%} slower: {}", judged.max_slowdown, outcome))
    if judged.outcome == "failed":
        raise SystemExit(toolkit.CheckFailed.exit_code)
    if judged.outcome == "inconclusive" and not allow_inconclusive:
        raise _inconclusive(judged)


def _inconclusive(judged: toolkit.GateReport) -> toolkit.Inconclusive:
    names = ", ".join(f"{_name(cell)} at {cell.workload}" for cell in judged.undecided)
    compared = sum(cell.slowdown is not None for cell in judged.cells)
    return toolkit.Inconclusive(
        f"{len(judged.undecided)} of {compared} configurations may or may not be {judged.max_slowdown:.1%} slower, "
        f"their intervals reach across: {names}",
        "Profile both again for longer (--duration) on a quiet machine, or pass --allow-inconclusive.",
    )


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
