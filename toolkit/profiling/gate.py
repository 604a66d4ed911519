"""`toolkit gate`: regression test of a profile against an older one, with the noise of both taken into account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from toolkit.artifact import encode
from toolkit.errors import InputError
from toolkit.profiling.measuring.statistics import Interval, independent_ratio
from toolkit.profiling.reporting.report import CellReport, ProfileReport

Verdict = Literal["same", "faster", "slower", "cannot tell", "broken", "only in new", "only in old", "did not run"]
"""`slower`: the whole interval of the slowdown is beyond the limit. `cannot tell`: the limit lies inside the interval,
or there are fewer than five frames. `broken`: it ran in the old report and does not run in the new one."""

Outcome = Literal["passed", "failed", "inconclusive"]

_FAILING = {"slower", "broken"}


class CellVerdict(msgspec.Struct, frozen=True):
    """One configuration in both reports.

    `old` and `new` are medians in seconds. `slowdown` is new / old - 1, and `interval` its 95 % confidence interval,
    which includes the noise of both measurements.
    """

    workload: str
    artifact: str
    runtime: str
    precision: str
    verdict: Verdict
    old: float | None = None
    new: float | None = None
    slowdown: float | None = None
    interval: Interval | None = None
    note: str = ""
    engine: bool = False

    @property
    def name(self) -> str:
        """The file name of an engine, or the runtime and precision of an artifact."""
        return self.artifact if self.engine else f"{self.runtime} {self.precision}"

    @property
    def passed(self) -> bool:
        return self.verdict not in _FAILING


class GateReport(msgspec.Struct, frozen=True):
    """All configurations of both reports. `notes` list other differences between the reports.

    `outcome` is `failed` if any configuration is slower or broken, otherwise `inconclusive` if any cannot be judged,
    otherwise `passed`.
    """

    max_slowdown: float
    outcome: Outcome
    cells: tuple[CellVerdict, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every configuration that both reports measured is shown to be within the limit."""
        return self.outcome == "passed"

    @property
    def undecided(self) -> tuple[CellVerdict, ...]:
        """Configurations that cannot be judged."""
        return tuple(cell for cell in self.cells if cell.verdict == "cannot tell")

    def to_json(self) -> str:
        return encode(self).decode()


def gate(new: ProfileReport, old: ProfileReport, max_slowdown: float = 0.05) -> GateReport:
    """Compare a profile with an older one of the same machine.

    A configuration fails only if the whole 95 % interval of its slowdown lies beyond `max_slowdown`, and passes only if
    the whole interval lies within it; otherwise it cannot be judged. With many configurations some intervals are wrong
    by chance: of 100 that are exactly as slow as allowed, two or three fail.

    Raises:
        InputError: the reports cannot be compared: another boundary, device or number of threads, or no configuration
            in common.

    Example:
        >>> report = toolkit.read_report("report.json")
        >>> toolkit.gate(report, report, max_slowdown=0.05).outcome
        'passed'
    """
    if max_slowdown < 0:
        raise InputError(f"maximum slowdown {max_slowdown:.1%} must not be negative", "Give a share, such as 5%.")
    _demand_comparable(new, old)
    theirs = {cell.key: cell for cell in old.cells}
    ours = {cell.key: cell for cell in new.cells}
    verdicts = [_judge(cell, theirs.get(key), max_slowdown) for key, cell in ours.items()]
    verdicts += [_verdict(cell, "only in old") for key, cell in theirs.items() if key not in ours]
    if not any(verdict.slowdown is not None or verdict.verdict == "broken" for verdict in verdicts):
        raise InputError(
            "the two reports have no measured configuration in common",
            "Profile the same artifacts, runtimes, precisions and workloads.",
        )
    return GateReport(max_slowdown, _outcome(verdicts), tuple(verdicts), tuple(_notes(new, old)))


def _outcome(verdicts: Sequence[CellVerdict]) -> Outcome:
    if not all(verdict.passed for verdict in verdicts):
        return "failed"
    return "inconclusive" if any(verdict.verdict == "cannot tell" for verdict in verdicts) else "passed"


def _demand_comparable(new: ProfileReport, old: ProfileReport) -> None:
    pairs = (
        ("boundary", new.boundary, old.boundary),
        ("number of threads", new.threads, old.threads),
        ("CPU model", new.environment.processor, old.environment.processor),
        ("number of CPUs", new.environment.processors, old.environment.processors),
        ("GPU", new.environment.gpu or "none", old.environment.gpu or "none"),
    )
    for what, ours, theirs in pairs:
        if ours != theirs:
            raise InputError(
                f"the reports cannot be compared: the {what} was {theirs} and is {ours}",
                "Profile again on the same machine, in the same way.",
            )


def _judge(cell: CellReport, old: CellReport | None, allowed: float) -> CellVerdict:
    if old is None:
        return _verdict(cell, "only in new")
    if old.statistics is None:
        return _verdict(cell, "did not run" if cell.statistics is None else "only in new", note=cell.reason)
    if cell.statistics is None:
        return _verdict(cell, "broken", old=old.statistics.median, note=cell.reason or "not measured")
    ratio, interval = independent_ratio(cell.times, old.times)
    if interval is None or (interval.low <= 1 + allowed < interval.high):
        verdict: Verdict = "cannot tell"
    elif interval.low > 1 + allowed:
        verdict = "slower"
    else:
        verdict = "faster" if interval.high < 1 else "same"
    return _verdict(
        cell,
        verdict,
        old=old.statistics.median,
        new=cell.statistics.median,
        slowdown=ratio - 1,
        interval=None if interval is None else Interval(interval.low - 1, interval.high - 1),
        note=_differences(cell, old),
    )


def _verdict(
    cell: CellReport,
    verdict: Verdict,
    *,
    old: float | None = None,
    new: float | None = None,
    slowdown: float | None = None,
    interval: Interval | None = None,
    note: str = "",
) -> CellVerdict:
    what = cell.workload, cell.artifact, cell.runtime, cell.precision
    return CellVerdict(*what, verdict, old, new, slowdown, interval, note, cell.is_engine)


def _differences(new: CellReport, old: CellReport) -> str:
    notes = []
    if new.arithmetic != old.arithmetic and new.arithmetic and old.arithmetic:
        notes.append(f"computed in {new.arithmetic}, before in {old.arithmetic}")
    if new.sha256 != old.sha256:
        notes.append("the artifact has changed")
    return "; ".join(notes)


def _notes(new: ProfileReport, old: ProfileReport) -> Sequence[str]:
    """Package versions that changed, and warnings of both measurements."""
    ours, theirs = new.environment.packages, old.environment.packages
    notes = [
        f"{name}: {theirs.get(name, 'not installed')} before, {ours.get(name, 'not installed')} now"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    for label, report in (("new", new), ("old", old)):
        if not report.complete:
            notes.append(f"the {label} report is of an interrupted run")
        notes += [f"{label}: {warning}" for warning in report.warnings]
    return notes
