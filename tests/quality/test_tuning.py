"""`tune`: mixes are measured as they are, and the cheapest within the budget is found."""

from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from samples import needs_data

from toolkit.artifact import Artifact, CurvePoint
from toolkit.errors import InputError
from toolkit.graph.precision.convert import ConvertOptions, convert, rewritten
from toolkit.graph.precision.simulate import simulated
from toolkit.quality.bench import Bench
from toolkit.quality.cost import units
from toolkit.quality.curve import plot_curve
from toolkit.quality.tuning import _Search, pareto, tune


def elementwise(dtype: int) -> onnx.ModelProto:
    """Float32 in and out, and between them nodes whose result does not depend on the order of sums."""
    helper = onnx.helper
    weight = helper.make_tensor("w", dtype, [1], [1.7])
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=dtype),
        helper.make_node("Mul", ["a", "w"], ["b"]),
        helper.make_node("Add", ["b", "a"], ["c"]),
        helper.make_node("Sqrt", ["c"], ["d"]),
        helper.make_node("Cast", ["d"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [64]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    name = model.graph.input[0].name
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {name: x})[0]


@pytest.mark.parametrize("dtype", [onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16])
def test_simulation_is_exact(dtype: int) -> None:
    """Against ONNX's reference implementation, which computes in the type itself; ONNX Runtime must not drop casts."""
    model = elementwise(dtype)
    x = np.random.default_rng(0).random(64, np.float32)
    made = simulated(model)
    onnx.checker.check_model(made, full_check=True)
    (exact,) = ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_array_equal(run(made, x), exact)
    assert not np.array_equal(exact, np.sqrt(x * np.float32(1.7) + x))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_simulated_networks_are_as_far_off_as_the_real_ones(
    precision: str, small_artifact: Artifact, tmp_path: Path
) -> None:
    """Same roundings in other places: equal in size, not in value."""
    model = onnx.load(convert(small_artifact, precision, directory=tmp_path).path)
    x = np.random.default_rng(0).random((1, 3, 24, 32), np.float32)
    exact = run(onnx.load(small_artifact.path), x)
    reference = np.asarray(ReferenceEvaluator(model).run(None, {"input": x})[0], np.float64)
    ratio = np.abs(run(simulated(model), x) - exact).mean() / np.abs(reference - exact).mean()
    assert 0.4 < ratio < 1.6


def test_units_of_a_network(small_artifact: Artifact) -> None:
    found = {unit.name: unit.cost for unit in units(onnx.load(small_artifact.path), convolutions_only=False)}
    assert list(found)[:4] == ["head", "body.0.norm", "body.0.conv", "body.0.gelu"]
    assert found["body.0.conv"] == 6 * 6 * 9 * 32 * 32  # at half of 64x64
    assert found["head"] == 6 * 3 * 36 * 32 * 32
    convolutions = units(onnx.load(small_artifact.path), convolutions_only=True)
    assert [unit.name for unit in convolutions] == ["head", "body.0.conv", "body.1.conv", "tail.conv", "upsample"]


def test_pareto() -> None:
    points = [CurvePoint((str(i),), *xy) for i, xy in enumerate([(0, 9), (1, 5), (1, 4), (2, 6), (3, 1), (3, 1)])]
    assert [(point.cost, point.spent) for point in pareto(points)] == [(0, 9), (1, 4), (3, 1)]


class Additive:
    """A made-up bench: every lowered unit spends its own share, whatever the others do."""

    def __init__(self, shares: dict[str, float]) -> None:
        self.shares, self.gain = shares, 1.0


def search(monkeypatch: pytest.MonkeyPatch, artifact: Artifact, shares: dict[str, float]) -> _Search:
    model = onnx.load(artifact.path)
    found = units(model, convolutions_only=False)
    made = _Search(
        artifact,
        "bf16",
        model,
        found,
        ConvertOptions(),
        None,
        Additive(shares),
        lambda *_: None,
        {},  # type: ignore[arg-type]
    )

    def point(self: _Search, kept: frozenset[str]) -> CurvePoint:
        total = sum(unit.cost for unit in found)
        cost = sum(unit.cost for unit in found if unit.name in kept) / total
        spent = sum(share for name, share in shares.items() if name not in kept)
        self.measured[kept] = CurvePoint(tuple(sorted(kept)), cost, spent)
        return self.measured[kept]

    monkeypatch.setattr(_Search, "point", point)
    return made


@pytest.mark.parametrize("seed", range(4))
def test_greedy_is_nearly_as_good_as_trying_everything(
    seed: int, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where losses add up, it costs at most a quarter more than the best of all mixes."""
    names = [unit.name for unit in units(onnx.load(small_artifact.path), convolutions_only=False)]
    random = np.random.default_rng(seed)
    shares = dict(zip(names, random.exponential(0.05, len(names)), strict=True))
    made = search(monkeypatch, small_artifact, shares)
    budget = 0.4 * sum(shares.values())
    found = min(point.cost for point in made.greedy(budget) if point.spent <= budget)
    cost = {unit.name: unit.cost for unit in made.units}
    total = sum(cost.values())
    best = min(
        sum(cost[name] for name in mix) / total
        for size in range(len(names) + 1)
        for mix in combinations(names, size)
        if sum(share for name, share in shares.items() if name not in mix) <= budget
    )
    assert found <= 1.25 * best + 1e-12


def test_a_random_network_has_no_gain_to_spend(small_artifact: Artifact) -> None:
    with pytest.raises(InputError, match="no better than bicubic"):
        tune(small_artifact, "bf16", 0.05)


@pytest.mark.parametrize(
    ("precision", "budget", "message"),
    [("fp32", 0.1, "cannot be tuned"), ("int8", 0.0, "not a share"), ("int8", 10, "not a share")],
)
def test_bad_requests(precision: str, budget: float, message: str, small_artifact: Artifact) -> None:
    with pytest.raises(InputError, match=message):
        tune(small_artifact, precision, budget)


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize(("precision", "budget"), [("fp16", 0.01), ("bf16", 0.05), ("int8", 0.10)])
def test_the_released_network(precision: str, budget: float, released_artifact: Artifact, tmp_path: Path) -> None:
    tuned = tune(released_artifact, precision, budget, directory=tmp_path)
    manifest = tuned.artifact.manifest
    assert manifest.name.endswith(f"{precision}_tuned")
    assert manifest.conversion is not None
    assert manifest.conversion.curve == tuned.curve
    assert tuned.chosen in tuned.curve
    assert manifest.conversion.kept_fp32 + manifest.conversion.excluded == tuned.chosen.kept
    assert len(tuned.chosen.kept) < len(tuned.alone)
    # Measured anew from what was written.
    bench = Bench.of(onnx.load(released_artifact.path), released_artifact.manifest, ())
    assert bench.spent(simulated(onnx.load(tuned.artifact.path))) == pytest.approx(tuned.chosen.spent, abs=1e-9)
    assert tuned.chosen.spent <= budget
    plot_curve(tuned, budget, tmp_path / "c.svg")
    assert "budget" in (tmp_path / "c.svg").read_text()


def test_int8_ranges_are_measured_once(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    model = onnx.load(small_artifact.path)
    ranges = {node.input[0]: 1.0 for node in model.graph.node if node.op_type == "Conv"}
    monkeypatch.setattr("toolkit.graph.precision.convert.calibrated", lambda *_: pytest.fail("measured again"))
    made, _ = rewritten(model, small_artifact.manifest, "int8", ConvertOptions(exclude=("head",)), ranges)
    assert sum(node.op_type == "QuantizeLinear" for node in made.graph.node) == 4
