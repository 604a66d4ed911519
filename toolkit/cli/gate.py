"""`toolkit gate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.text import Text

from toolkit.cli.console import err, out, print_json, styled, table, verdict
from toolkit.cli.options import InputFile, Json, flag
from toolkit.cli.values import share
from toolkit.errors import CheckFailed, Inconclusive

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.profiling.gate import CellVerdict, GateReport

_STYLES = {"slower": "bold red", "broken": "bold red", "cannot tell": "yellow", "faster": "green"}
_NUMBERS = ("old, ms", "new, ms", "slowdown", "95 % interval")


def gate(
    new: InputFile,
    /,
    *,
    against: Annotated[InputFile, Parameter(help="The older report.json of the same machine.")],
    max_slowdown: str = "5%",
    allow_inconclusive: Annotated[
        bool, flag("Exit with code 0 instead of 4 if the measurements cannot decide.")
    ] = False,
    json: Json = False,
) -> None:
    """Fail (exit 1) if a profile is slower than an older one of the same machine, beyond the noise of both.

    A configuration fails if the whole 95 % interval of its slowdown is above the limit, or if it ran before and no
    longer runs. It passes if the whole interval is below the limit. If the interval contains the limit, or there are
    fewer than five frames, the measurements cannot decide: exit 4. Reports that cannot be compared (different boundary,
    device or thread count, or nothing in common) are bad input: exit 2.

    Parameters
    ----------
    new
        The report.json to check.
    max_slowdown
        Limit on the slowdown of each configuration's median: 5% or 0.05.
    """
    limit = share(max_slowdown, "--max-slowdown")
    from toolkit.profiling.gate import gate as run
    from toolkit.profiling.reporting.reading import read_report

    judged = run(read_report(new), read_report(against), limit)
    if json:
        print_json(judged.to_json())
    _print(judged, err if json else out)
    if judged.outcome == "failed":
        raise SystemExit(CheckFailed.exit_code)
    if judged.outcome == "inconclusive" and not allow_inconclusive:
        raise _inconclusive(judged)


def _print(judged: GateReport, console: Console) -> None:
    rows = table("workload", "configuration", *_NUMBERS, "verdict", right=_NUMBERS)
    measured = [cell for cell in judged.cells if cell.verdict != "did not run"]
    for cell in measured:
        rows.add_row(cell.workload, cell.name, *_numbers(cell), Text(cell.verdict, _STYLES.get(cell.verdict, "")))
    console.print(rows)
    for cell in measured:
        if cell.note:
            console.print(styled("{}: {}", cell.name, cell.note))
    if len(measured) < len(judged.cells):
        console.print(styled("{} configurations ran in neither profile", len(judged.cells) - len(measured)))
    for note in judged.notes:
        console.print(styled("[yellow]note:[/] {}", note))
    outcome = styled("[yellow]cannot tell[/]") if judged.outcome == "inconclusive" else verdict(judged.passed)
    console.print(styled("at most {:.1%} slower: {}", judged.max_slowdown, outcome))


def _inconclusive(judged: GateReport) -> Inconclusive:
    names = ", ".join(f"{cell.name} at {cell.workload}" for cell in judged.undecided)
    compared = sum(cell.slowdown is not None for cell in judged.cells)
    return Inconclusive(
        f"{len(judged.undecided)} of {compared} configurations may or may not be {judged.max_slowdown:.1%} slower; "
        f"their intervals contain the limit: {names}",
        "Profile both again for longer (--duration) on a quiet machine, or pass --allow-inconclusive.",
    )


def _numbers(cell: CellVerdict) -> list[str]:
    interval = cell.interval
    return [
        "–" if cell.old is None else f"{1000 * cell.old:.2f}",
        "–" if cell.new is None else f"{1000 * cell.new:.2f}",
        "–" if cell.slowdown is None else f"{cell.slowdown:+.1%}",
        "–" if interval is None else f"{interval.low:+.1%} to {interval.high:+.1%}",
    ]
