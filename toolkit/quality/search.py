"""The search for the cheapest mix of precisions within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations

from toolkit.checks import Limits, Spent
from toolkit.system.progress import Progress, ProgressCallback, no_progress

Mix = frozenset[str]
"""Names of the units that stay in float32."""

EXHAUSTIVE = 8
"""Up to so many units every mix is measured: 256 of them."""

_TRIES = 4
"""Exchanges that are measured before a mix counts as good, as a multiple of the number of units."""

_MARGIN = 0.01
"""Share of the cost that is paid to leave the whole budget unspent: other images may need some of it."""


class Search:
    """Mixes of one graph, each measured once.

    Args:
        cost: of each unit in float32, in graph order.
        limits: what a mix may spend.
        measure: what a mix spends.
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
        """What a mix spends."""
        if kept not in self.measured:
            done = min(len(self.measured) / self._planned, 0.99)
            self._progress(Progress(f"{len(kept)} of {len(self.cost)} in float32", done))
            self.measured[kept] = self._measure(kept)
        return self.measured[kept]

    def used(self, kept: Mix) -> float:
        """How much of its limit the worst of the three figures is; more than 1 is too much."""
        return self.limits.used(self.spent(kept))

    def fits(self, kept: Mix) -> bool:
        return self.used(kept) <= 1

    def total(self, kept: Mix) -> float:
        """Cost of a mix."""
        return sum(self.cost[name] for name in kept)

    def price(self, kept: Mix, cost: float | None = None) -> float:
        """What is made as small as can be: cost and, where that is nearly the same, what is used of the budget."""
        return (self.total(kept) if cost is None else cost) + _MARGIN * self.used(kept)

    def alone(self) -> dict[str, Spent]:
        """What each unit spends when it alone is lowered."""
        return {name: self.spent(self.everything - {name}) for name in self.cost}

    def raised(self) -> dict[str, Spent]:
        """What is spent when each unit alone stays in float32."""
        return {name: self.spent(frozenset({name})) for name in self.cost}

    def run(self) -> None:
        """Measure what is needed to know the cheapest mix that fits, and the curve around it."""
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
        """How much less is used with a unit in float32: on average of alone among lowered, and last to be raised."""
        low, high = self.used(frozenset()), self.used(self.everything)
        limits = self.limits
        alone, raised = self.alone(), self.raised()
        return {name: (low - limits.used(raised[name]) + limits.used(alone[name]) - high) / 2 for name in self.cost}

    def _ranked(self) -> list[str]:
        """Units that help most for their cost first."""
        helps = self._helps()
        return sorted(self.cost, key=lambda name: -helps[name] / max(self.cost[name], 1e-12))

    def _bisected(self, ranked: Sequence[str]) -> Mix:
        """The shortest beginning of the ranking that fits, if more units never spend more."""
        short, long = 0, len(ranked)
        while long - short > 1:
            middle = (short + long) // 2
            if self.fits(frozenset(ranked[:middle])):
                long = middle
            else:
                short = middle
        return frozenset(ranked[:long])

    def _pruned(self, kept: Mix) -> Mix:
        """Without what can be lowered after all, the most expensive first."""
        for name in sorted(kept, key=lambda name: (-self.cost[name], name)):
            if self._improves(kept - {name}, kept):
                kept -= {name}
        return kept

    def _improves(self, mix: Mix, kept: Mix) -> bool:
        return self.fits(mix) and self.price(mix) < self.price(kept)

    def _exchanged(self, kept: Mix) -> Mix:
        """One unit for none, one or two others, as long as the price falls; likeliest exchanges first."""
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
    """All with up to so many members, the empty one first."""
    return [frozenset(mix) for mix in chain.from_iterable(combinations(names, size) for size in range(most + 1))]
