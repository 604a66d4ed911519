"""`toolkit tune`: finds the nodes that must stay in float32 to keep a precision within its quality budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from toolkit.artifact import Artifact
from toolkit.checks import SIMULATED, Limits, Spent, Verdict
from toolkit.conversion import CurveCost, CurvePoint
from toolkit.errors import CheckFailed, InputError
from toolkit.graph.precision.base import Prepared, TargetPrecision
from toolkit.graph.precision.convert import Request, convert
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.simulate import simulated
from toolkit.graph.reading import read_model
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.quality.bench import Bench
from toolkit.quality.cost import Unit, units
from toolkit.quality.search import Mix, Search
from toolkit.quality.timing import Stopwatch
from toolkit.quality.verdict import record_verdict
from toolkit.system.progress import Progress, ProgressCallback, no_progress

SUFFIX = "_tuned"

_TIMED = 12
"""Number of mixes that are timed at the end."""


@dataclass(frozen=True)
class Tuned:
    """The outcome of a tuning.

    Attributes:
        artifact: with the chosen mix; its manifest holds the curve and the verdict.
        images: images that quality was measured on.
        gain: of the fp32 network over bicubic on them, in dB of mean PSNR-Y.
        alone: for each unit, the loss if it is the only lowered one.
        raised: for each unit, the loss if it is the only one in float32.
        curve: the cheapest of the measured mixes for each quality, from all lowered to all float32.
        chosen: the mix of the artifact.
        spent: what it loses.
        limits: what it may lose.
        cost: kind of cost; costs of the curve are shares of that of the fp32 graph.
    """

    artifact: Artifact
    images: str
    gain: float
    alone: dict[str, Spent]
    raised: dict[str, Spent]
    curve: tuple[CurvePoint, ...]
    chosen: CurvePoint
    spent: Spent
    limits: Limits
    cost: CurveCost


def tune(
    artifact: Artifact,
    precision: Precision,
    limits: Limits,
    data: Sequence[Path] = (),
    options: ConvertOptions | None = None,
    directory: Path | None = None,
    *,
    time_on: str | None = None,
    threads: int = 0,
    overwrite: bool = False,
    progress: ProgressCallback = no_progress,
) -> Tuned:
    """Find the cheapest mix of `precision` and float32 that stays within `limits`, and write it as an artifact.

    The cost of a mix is the share of multiply-adds in float32 (for norms and activations, of their elements), or its
    time on a runtime. See `search.py` for the search.

    Args:
        artifact: fp32.
        precision: fp16 and bf16 are simulated with float32 accumulators; int8 is run by ONNX Runtime.
        limits: what the mix may lose of the network's gain over bicubic.
        data: image sets, as for `evaluate`; default: the bundled images.
        options: of the conversion, for example the calibration of int8.
        directory: where the artifact is written; default: the directory of `artifact`.
        time_on: name of a runtime whose time is minimised; None: multiply-adds are.
        threads: of that runtime; 0: all CPUs available to this process.
        overwrite: replace the result of an earlier tuning.
        progress: called as mixes are measured.

    Raises:
        InputError: the artifact is not fp32, or the network gains nothing over bicubic on these images.
        OutputExists: there is a tuned artifact already, and `overwrite` is false.
        CheckFailed: nothing can be lowered within the limits, or no mix within them is faster.
        Unavailable: the runtime is not available, or computes in another precision.

    Example:
        >>> artifact = toolkit.Artifact.read("exported/rt4ksr_x2_fp32.onnx")
        >>> limits = toolkit.Limits(mean=0.05, worst_image=0.15, worst_patch=2.0)
        >>> toolkit.tune(artifact, "bf16", limits).artifact  # doctest: +SKIP
    """
    if artifact.manifest.lowered or precision == FULL_PRECISION:
        raise InputError(
            f"{artifact.manifest.name} cannot be tuned to {precision}", "Give an fp32 artifact, and a lower precision."
        )
    if not 0 < limits.mean < 1 or not min(limits.worst_image, limits.worst_patch) > 0:
        raise InputError(
            f"a budget of {limits.mean:.3g} for the mean, {limits.worst_image:.3g} for an image and "
            f"{limits.worst_patch:.3g} for a patch is out of range",
            "The mean is a share of the gain between 0 and 1 (5% is 0.05), the others must be positive.",
        )
    request = Request.of(artifact, precision, replace(options or ConvertOptions(), suffix=SUFFIX))
    request.check_output(directory, overwrite=overwrite)
    progress(Progress("float32", 0.0))
    mixer = _Mixer.of(request)
    bench = Bench.of(mixer.model, artifact.manifest, data)
    bench.require_gain()
    watch = None if time_on is None else Stopwatch(artifact, precision, time_on, threads)
    cost = mixer.multiply_adds() if watch is None else _seconds(mixer, watch, progress)
    search = Search(
        cost,
        limits,
        lambda kept: bench.spent(simulated(mixer.graph(kept))),
        progress,
    )
    search.run()
    points = _points(search) if watch is None else _timed(search, mixer, watch, progress)
    kept = _chosen(search, points, precision, time_on)
    curve, spent = _curve(points, kept), search.spent(kept)
    what = CurveCost("multiply-adds") if watch is None else CurveCost("time", watch.runtime, watch.shape.sides)
    mixed = replace(mixer.options_for(kept), curve=curve, curve_cost=what)
    made = convert(artifact, precision, mixed, directory, overwrite=True)
    recorded = record_verdict(made, Verdict.of(SIMULATED, bench.data, len(bench.pairs), spent, limits))
    return Tuned(
        recorded, bench.images, bench.gain, search.alone(), search.raised(), curve, points[kept], spent, limits, what
    )


def pareto(points: Iterable[CurvePoint]) -> tuple[CurvePoint, ...]:
    """Points that no other point beats in both cost and quality, ordered by cost."""
    best: list[CurvePoint] = []
    for point in sorted(points, key=lambda point: (point.cost, point.spent)):
        if not best or point.spent < best[-1].spent:
            best.append(point)
    return tuple(best)


@dataclass(frozen=True)
class _Mixer:
    """Converts an artifact's graph to mixes of precisions."""

    precision: TargetPrecision
    options: ConvertOptions
    model: onnx.ModelProto
    units: tuple[Unit, ...]
    prepared: Prepared

    @classmethod
    def of(cls, request: Request) -> _Mixer:
        precision, manifest = request.precision, request.artifact.manifest
        model = read_model(request.artifact.path)
        found = tuple(units(model, convolutions_only=precision.convolutions_only))
        prepared = precision.prepare(model, manifest, request.options)
        return cls(precision, request.options, model, found, prepared)

    def graph(self, kept: Mix) -> onnx.ModelProto:
        """The graph with these units in float32."""
        return self.prepared.rewrite(self.options_for(kept)).model

    def options_for(self, kept: Mix) -> ConvertOptions:
        chosen = [unit for unit in self.units if unit.name in kept]
        return self.precision.keeping(self.options, [name for unit in chosen for name in (unit.name, *unit.moves)])

    def multiply_adds(self) -> dict[str, float]:
        """Multiply-adds of each unit, as a share of the total."""
        total = sum(unit.cost for unit in self.units)
        return {unit.name: unit.cost / total for unit in self.units}


def _seconds(mixer: _Mixer, watch: Stopwatch, progress: ProgressCallback) -> dict[str, float]:
    """Time that each unit costs in float32 while all others are lowered, as a share of the fp32 graph's time."""
    lowered = mixer.graph(frozenset())
    watch.require(lowered)
    graphs = {unit.name: mixer.graph(frozenset({unit.name})) for unit in mixer.units}
    shares = watch.shares({"": lowered, **graphs}, f"timing units on {watch.runtime}", progress)
    # Differences below the noise are clamped to 0; the number of multiply-adds breaks ties.
    work = mixer.multiply_adds()
    return {unit.name: max(shares[unit.name] - shares[""], 0.0) + 1e-3 * work[unit.name] for unit in mixer.units}


def _points(search: Search) -> dict[Mix, CurvePoint]:
    return {kept: _point(search, kept, search.total(kept)) for kept in search.measured}


def _timed(search: Search, mixer: _Mixer, watch: Stopwatch, progress: ProgressCallback) -> dict[Mix, CurvePoint]:
    """The most promising mixes, timed side by side, because times of units do not add up exactly."""
    points = _points(search)
    line = [frozenset(point.kept) for point in pareto(points.values())]
    fitting = sorted((mix for mix in points if search.fits(mix)), key=lambda mix: (search.price(mix), sorted(mix)))
    step = max(-(-len(line) // (_TIMED // 2)), 1)
    chosen = dict.fromkeys([frozenset(), search.everything, *fitting[: _TIMED // 2], *line[::step]])
    names = {" ".join(sorted(mix)): mix for mix in chosen}
    graphs = {name: mixer.graph(mix) for name, mix in names.items()}
    shares = watch.shares(graphs, f"timing mixes on {watch.runtime}", progress)
    return {mix: _point(search, mix, shares[name]) for name, mix in names.items()}


def _point(search: Search, kept: Mix, cost: float) -> CurvePoint:
    names = tuple(name for name in search.cost if name in kept)
    return CurvePoint(names, cost, search.spent(kept).mean)


def _curve(points: dict[Mix, CurvePoint], kept: Mix) -> tuple[CurvePoint, ...]:
    """The best mixes and the chosen one, which may cost slightly more than the best because of its larger reserve."""
    return tuple(sorted({*pareto(points.values()), points[kept]}, key=lambda point: (point.cost, -point.spent)))


def _chosen(search: Search, points: dict[Mix, CurvePoint], precision: Precision, time_on: str | None) -> Mix:
    fitting = [mix for mix in points if search.fits(mix)]
    if not fitting or fitting == [search.everything]:
        raise CheckFailed(
            f"nothing can be lowered to {precision} within this budget", "Use fp32, or allow a larger loss."
        )
    kept = min(fitting, key=lambda mix: (search.price(mix, points[mix].cost), sorted(mix)))
    if time_on is not None and (kept == search.everything or points[kept].cost >= 1):
        best = min(points[mix].cost for mix in fitting if mix != search.everything)
        raise CheckFailed(
            f"no mix of {precision} and float32 within this budget is faster than float32 on {time_on}: the best takes "
            f"{best:.2f} times as long",
            "Use fp32 on this runtime, or allow a larger loss.",
        )
    return kept
