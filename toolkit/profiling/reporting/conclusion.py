"""What a profile means: the fastest configuration within its quality budget, what limits it, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolkit.precisions import FULL_PRECISION
from toolkit.profiling.reporting.formatting import milliseconds
from toolkit.profiling.reporting.report import CellReport, ProfileReport
from toolkit.quality.budget import BUDGETS

_LATE = 0.01
"""Share of late frames up to which a frame rate counts as met: viewers do not notice one frame in a hundred."""

_MEASURE = "`toolkit evaluate --images PATH --within-budget --record`"


@dataclass(frozen=True)
class Conclusion:
    """What to use for one network at one workload.

    Attributes:
        workload, network: what was measured; the name of the network is that of its artifacts without the precision.
        best: the fastest configuration that is fp32, or in a precision whose measured loss is within its budget.
        rival: the fastest other runtime in the same precision; None: there is none.
        faster: faster configurations that lose too much, or whose loss is not known.
    """

    workload: str
    network: str
    best: CellReport
    rival: CellReport | None
    faster: tuple[CellReport, ...]

    @property
    def headline(self) -> str:
        """One sentence."""
        best = self.best
        parts = [f"{best.name}, {_time(best)}"]
        if best.spent:
            parts.append(f"which loses {best.spent:.1%} of the gain over bicubic")
        if self.rival is not None:
            parts.append(self._compared(self.rival))
        return f"{self.workload}, {self.network}: {', '.join(parts)}; {_deadlines(best)}"

    @property
    def remarks(self) -> Iterator[str]:
        """What limits the best configuration, and why faster ones are not recommended."""
        if (roofline := self.best.roofline) is not None:
            limit = "arithmetic" if roofline.limited_by == "arithmetic" else "memory bandwidth"
            yield f"{self.best.name} reaches {roofline.share:.0%} of the speed that this machine's {limit} allows"
        for cell in self.faster:
            if cell.spent is None:
                yield f"{cell.name} takes {_time(cell)}, but its loss of quality is not known; measure it: {_MEASURE}"
            else:
                allowed = BUDGETS[cell.precision].mean
                yield (
                    f"{cell.name} takes {_time(cell)}, but loses {cell.spent:.0%} of the gain over bicubic "
                    f"(allowed {allowed:.1%}); `toolkit tune` and `toolkit convert --keep-fp32` can reduce that"
                )

    def _compared(self, rival: CellReport) -> str:
        """The ratio to the rival, unless the intervals of both medians overlap."""
        own, other = self.best.statistics, rival.statistics
        assert own is not None and other is not None  # noqa: S101  (only measured cells are compared)
        if own.interval is not None and other.interval is not None and own.interval.high >= other.interval.low:
            return f"no faster than {rival.name} within the noise"
        return f"{other.median / own.median:.2f} times as fast as {rival.name}"


def conclusions(report: ProfileReport) -> tuple[Conclusion, ...]:
    """One for each network and workload of which a configuration within its budget was measured."""
    groups: dict[tuple[str, str], list[CellReport]] = {}
    for cell in report.cells:
        if cell.statistics is not None:
            groups.setdefault((cell.workload, _network(cell)), []).append(cell)
    found = (_conclusion(workload, network, cells) for (workload, network), cells in groups.items())
    return tuple(conclusion for conclusion in found if conclusion is not None)


def _conclusion(workload: str, network: str, cells: Sequence[CellReport]) -> Conclusion | None:
    ordered = sorted(cells, key=_median)
    best = next((cell for cell in ordered if _within_budget(cell)), None)
    if best is None:
        return None
    others = (cell for cell in ordered if cell.precision == best.precision and cell.runtime != best.runtime)
    return Conclusion(workload, network, best, next(others, None), tuple(ordered[: ordered.index(best)]))


def _within_budget(cell: CellReport) -> bool:
    if cell.precision == FULL_PRECISION:
        return True
    return cell.spent is not None and cell.spent <= BUDGETS[cell.precision].mean


def _network(cell: CellReport) -> str:
    name = cell.artifact
    if cell.is_engine:  # NAME.RUNTIME.engine
        name = name.rsplit(".", 2)[0]
    head, found, tail = name.rpartition(f"_{cell.precision}")
    return f"{head}{tail}" if found else name


def _median(cell: CellReport) -> float:
    assert cell.statistics is not None  # noqa: S101  (only measured cells are grouped)
    return cell.statistics.median


def _time(cell: CellReport) -> str:
    median = _median(cell)
    return f"{milliseconds(median)} ms ({1 / median:.1f} fps)"


def _deadlines(cell: CellReport) -> str:
    """`30 fps met, 60 fps missed by 12% of frames`; a rate that no frame reaches is the last one named."""
    assert cell.statistics is not None  # noqa: S101
    texts = []
    for deadline in reversed(cell.statistics.deadlines):
        rate = f"{1 / deadline.seconds:.0f} fps"
        if deadline.late_share == 1:
            texts.append(f"{rate} missed")
            break
        late = deadline.late_share
        texts.append(f"{rate} met" if late <= _LATE else f"{rate} missed by {late:.0%} of frames")
    return ", ".join(texts)
