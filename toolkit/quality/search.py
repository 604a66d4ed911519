"""Search for the cheapest mix of two precisions within a quality budget.

A mix is the set of units (nodes or groups of nodes) that stay in float32; all others are lowered. Its cost is the sum
of the costs of its units, and what it loses is measured, because losses of units do not add up. With few units all
mixes are measured. With more, the search is a heuristic in four steps:

1. Rank units by how much float32 helps there, per cost (`_helps`).
2. Bisect for the shortest prefix of the ranking that is within the budget.
3. Remove units from it as long as the mix stays within the budget, the most expensive first.
4. Exchange one unit for none, one or two others while that lowers the price.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations

from toolkit.checks import Limits, Spent
from toolkit.system.progress import Progress, ProgressCallback, no_progress

Mix = frozenset[str]
"""Names of the units that stay in float32."""

EXHAUSTIVE = 8
"""Up to this many units all mixes are measured: at most 256."""

_TRIES = 4
"""Limit of measured exchanges, as a multiple of the number of units."""

_MARGIN = 0.01
"""Cost that may be added to lose nothing instead of the whole budget. A reserve is useful, because other images may
lose more; so among mixes of nearly the same cost the one with the larger reserve is better."""


class Search:
    """Mixes of one graph, each measured at most once.

    Args:
        cost: of each unit in float32, in graph order, as a share of the total.
        limits: what a mix may lose.
        measure: measures what a mix loses.
        progress: called before each measurement.
    """

    def __init__(
        self,
        cost: Mapping[str, float],
        limits: Limits,
        measure: Callable[[Mix], Spent],
        progress: ProgressCallback = no_progress,
    ) -> None:
        self.cost, self.limits = dict(cost), limits
        self.measured: dict[Mix, Spent] = {}
        self._measure, self._progress, self._planned = measure, progress, 1

    @property
    def everything(self) -> Mix:
        return frozenset(self.cost)

    def spent(self, kept: Mix) -> Spent:
        """What a mix loses."""
        if kept not in self.measured:
            done = min(len(self.measured) / self._planned, 0.99)
            self._progress(Progress(f"{len(kept)} of {len(self.cost)} in float32", done))
            self.measured[kept] = self._measure(kept)
        return self.measured[kept]

    def used(self, kept: Mix) -> float:
        """The largest of the three losses relative to its limit; more than 1 exceeds the budget."""
        return self.limits.used(self.spent(kept))

    def fits(self, kept: Mix) -> bool:
        return self.used(kept) <= 1

    def total(self, kept: Mix) -> float:
        """Cost of a mix."""
        return sum(self.cost[name] for name in kept)

    def price(self, kept: Mix, cost: float | None = None) -> float:
        """The value that is minimised: the cost, plus a small penalty for the used part of the budget."""
        return (self.total(kept) if cost is None else cost) + _MARGIN * self.used(kept)

    def alone(self) -> dict[str, Spent]:
        """For each unit, the loss if it is the only lowered one."""
        return {name: self.spent(self.everything - {name}) for name in self.cost}

    def raised(self) -> dict[str, Spent]:
        """For each unit, the loss if it is the only one in float32."""
        return {name: self.spent(frozenset({name})) for name in self.cost}

    def run(self) -> None:
        """Measure the mixes that are needed to find the cheapest one within the budget, and the curve around it."""
        count = len(self.cost)
        self._planned = 2**count if count <= EXHAUSTIVE else (3 + _TRIES) * count
        self.spent(frozenset())
        self.spent(self.everything)
        self.alone()
        self.raised()
        if count <= EXHAUSTIVE:
            for mix in _subsets(list(self.cost), count):
                self.spent(mix)
        elif not self.fits(frozenset()) and self.fits(self.everything):
            self._exchanged(self._pruned(self._bisected(self._ranked())))

    def _helps(self) -> dict[str, float]:
        """How much less of the budget is used with a unit in float32.

        The mean of two differences: raising the unit when all are lowered, and raising it last of all.
        """
        low, high = self.used(frozenset()), self.used(self.everything)
        limits = self.limits
        alone, raised = self.alone(), self.raised()
        return {name: (low - limits.used(raised[name]) + limits.used(alone[name]) - high) / 2 for name in self.cost}

    def _ranked(self) -> list[str]:
        """Units by benefit per cost, the best first."""
        helps = self._helps()
        return sorted(self.cost, key=lambda name: -helps[name] / max(self.cost[name], 1e-12))

    def _bisected(self, ranked: Sequence[str]) -> Mix:
        """The shortest prefix of the ranking that fits, assuming that more float32 units never lose more."""
        short, long = 0, len(ranked)
        while long - short > 1:
            middle = (short + long) // 2
            if self.fits(frozenset(ranked[:middle])):
                long = middle
            else:
                short = middle
        return frozenset(ranked[:long])

    def _pruned(self, kept: Mix) -> Mix:
        """Remove units that can be lowered after all, the most expensive first."""
        for name in sorted(kept, key=lambda name: (-self.cost[name], name)):
            if self._improves(kept - {name}, kept):
                kept -= {name}
        return kept

    def _improves(self, mix: Mix, kept: Mix) -> bool:
        return self.fits(mix) and self.price(mix) < self.price(kept)

    def _exchanged(self, kept: Mix) -> Mix:
        """Exchange one unit for none, one or two others while that lowers the price, the most promising exchanges
        first.
        """
        left = _TRIES * len(self.cost)
        helps = self._helps()
        tried: set[Mix] = set()
        while left > 0:
            candidates = [mix for mix in self._exchanges(kept) if mix not in tried]
            predicted = {
                mix: sum(helps[name] for name in kept - mix) - sum(helps[name] for name in mix - kept)
                for mix in candidates
            }
            for mix in sorted(candidates, key=lambda mix: (predicted[mix], self.total(mix)))[:left]:
                tried.add(mix)
                left -= 1
                if self._improves(mix, kept):
                    kept = self._pruned(mix)
                    break
            else:
                return kept
        return kept

    def _exchanges(self, kept: Mix) -> list[Mix]:
        outside = [name for name in self.cost if name not in kept]
        return [
            (kept - {given}) | taken
            for given in sorted(kept)
            for taken in _subsets(outside, 2)
            if sum(self.cost[name] for name in taken) < self.cost[given] + _MARGIN
        ]


def _subsets(names: Sequence[str], most: int) -> list[Mix]:
    """All subsets with up to `most` members, the empty one first."""
    return [frozenset(mix) for mix in chain.from_iterable(combinations(names, size) for size in range(most + 1))]
