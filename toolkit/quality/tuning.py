"""`toolkit tune`: which nodes must stay in float32 for a precision to keep within its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from pathlib import Path

import onnx

from toolkit.artifact import Artifact, CurvePoint, Precision
from toolkit.errors import CheckFailed, InputError
from toolkit.graph.precision.convert import ConvertOptions, calibrated, check_request, convert, rewritten
from toolkit.graph.precision.simulate import simulated
from toolkit.quality.bench import Bench
from toolkit.quality.cost import Unit, units

Report = Callable[[str, float, float | None], None]

EXHAUSTIVE = 8
"""Up to so many units every mix is measured: 256 of them."""

SUFFIX = "_tuned"


@dataclass(frozen=True)
class Tuned:
    """The outcome of a tuning.

    Attributes:
        artifact: in the mix that was chosen; its manifest holds the curve.
        gain: of the fp32 network over bicubic on the images, in dB of mean PSNR-Y.
        alone: share of the gain that each unit spends when it alone is lowered.
        curve: what was measured: of all mixes the cheapest for each quality, from all low to all high.
        chosen: the mix of the artifact, a point of the curve.
    """

    artifact: Artifact
    gain: float
    alone: dict[str, float]
    curve: tuple[CurvePoint, ...]
    chosen: CurvePoint


def tune(
    artifact: Artifact,
    precision: Precision,
    budget: float,
    data: Sequence[Path] = (),
    options: ConvertOptions | None = None,
    directory: Path | None = None,
    advance: Report = lambda _what, _share, _left: None,
) -> Tuned:
    """Find the cheapest mix of `precision` and float32 that spends no more than `budget` of the network's gain.

    Cost is counted in multiply-adds of nodes in float32 (of norms and activations, their elements). Up to eight units
    all mixes are measured; beyond that units are raised one by one, each time the one that saves most for its cost, and
    lowered again where the budget allows.

    Args:
        artifact: fp32.
        precision: fp16 and bf16 are simulated with float32 accumulators; int8 is run by ONNX Runtime.
        budget: share of the gain, for instance 0.05.
        data: image sets, as for `evaluate`; default: the images that ship with the toolkit.
        options: for int8: how it is calibrated.
        directory: where the artifact is written; default: beside the other one.
        advance: called with what is being measured, the share done, and None.

    Raises:
        InputError: the artifact is not fp32, or the network gains nothing over bicubic on these images.
        CheckFailed: no mix keeps within the budget.
    """
    if artifact.manifest.precision != "fp32" or precision == "fp32":
        raise InputError(f"{artifact.manifest.name} cannot be tuned to {precision}", "Tune an fp32 artifact lower.")
    if not 0 < budget < 1:
        raise InputError(f"budget {budget} is not a share of the gain", "Between 0 and 1: 5% is 0.05.")
    check_request(artifact.manifest, precision, options or ConvertOptions())
    search = _Search.of(artifact, precision, data, options or ConvertOptions(), advance)
    points = search.exhaustive() if len(search.units) <= EXHAUSTIVE else search.greedy(budget)
    fitting = [point for point in points if point.spent <= budget]
    if not fitting:
        raise CheckFailed(f"no mix of {precision} and float32 spends less than {budget:.1%} of the gain")
    chosen = min(fitting, key=lambda point: (point.cost, point.spent))
    curve = pareto(points)
    mixed = replace(search.keeping(chosen.kept), suffix=SUFFIX, curve=curve)
    return Tuned(convert(artifact, precision, mixed, directory), search.bench.gain, search.alone(), curve, chosen)


def pareto(points: Iterable[CurvePoint]) -> tuple[CurvePoint, ...]:
    """Those that no other point beats in both cost and quality, by cost."""
    best: list[CurvePoint] = []
    for point in sorted(points, key=lambda point: (point.cost, point.spent)):
        if not best or point.spent < best[-1].spent:
            best.append(point)
    return tuple(best)


@dataclass
class _Search:
    """Measured mixes of one artifact."""

    artifact: Artifact
    precision: Precision
    model: onnx.ModelProto
    units: list[Unit]
    options: ConvertOptions
    magnitudes: dict[str, float] | None
    bench: Bench
    advance: Report
    measured: dict[frozenset[str], CurvePoint]
    planned: int = 1

    @classmethod
    def of(
        cls, artifact: Artifact, precision: Precision, data: Sequence[Path], options: ConvertOptions, advance: Report
    ) -> _Search:
        model = onnx.load(artifact.path)
        advance("float32", 0.0, None)
        bench = Bench.of(model, artifact.manifest, data)
        magnitudes = calibrated(model, artifact.manifest, options) if precision == "int8" else None
        found = units(model, convolutions_only=precision == "int8")
        return cls(artifact, precision, model, found, options, magnitudes, bench, advance, {})

    def point(self, kept: frozenset[str]) -> CurvePoint:
        """Quality and cost of a mix, measured once."""
        if kept not in self.measured:
            names = tuple(unit.name for unit in self.units if unit.name in kept)
            self.advance(f"{len(names)} of {len(self.units)} in float32", len(self.measured) / self.planned, None)
            options, manifest = self.keeping(names), self.artifact.manifest
            graph, _ = rewritten(self.model, manifest, self.precision, options, self.magnitudes)
            total = sum(unit.cost for unit in self.units)
            cost = sum(unit.cost for unit in self.units if unit.name in kept) / total
            self.measured[kept] = CurvePoint(names, cost, self.bench.spent(simulated(graph)))
        return self.measured[kept]

    def keeping(self, names: tuple[str, ...]) -> ConvertOptions:
        """Options with these nodes in float32."""
        if self.precision == "int8":
            return replace(self.options, exclude=names)
        return replace(self.options, keep_fp32=names)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(unit.name for unit in self.units)

    def alone(self) -> dict[str, float]:
        """What each unit spends when all others are in float32."""
        return {unit.name: self.point(self.names - {unit.name}).spent for unit in self.units}

    def exhaustive(self) -> list[CurvePoint]:
        """Every mix."""
        names = sorted(self.names)
        mixes = chain.from_iterable(combinations(names, size) for size in range(len(names) + 1))
        self.planned = 2 ** len(names)
        return [self.point(frozenset(mix)) for mix in mixes]

    def greedy(self, budget: float) -> list[CurvePoint]:
        """From all low, raise what saves most for its cost until the budget holds; then lower what need not be up."""
        count = len(self.units)
        self.planned = count * (count + 3) // 2
        self.alone()
        cost = {unit.name: unit.cost for unit in self.units}
        kept: frozenset[str] = frozenset()
        while (now := self.point(kept)).spent > budget and kept != self.names:
            tried = {name: self.point(kept | {name}).spent for name in sorted(self.names - kept)}
            enough = [name for name, spent in tried.items() if spent <= budget]
            if enough:
                kept |= {min(enough, key=lambda name: cost[name])}
            else:
                kept |= {max(tried, key=lambda name: (now.spent - tried[name]) / cost[name])}
        for name in sorted(kept, key=lambda name: (-cost[name], name)):
            if self.point(kept - {name}).spent <= budget:
                kept -= {name}
        self.point(self.names)
        return list(self.measured.values())
