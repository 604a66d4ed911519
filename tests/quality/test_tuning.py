"""`tune`: mixes are measured as they are, and the cheapest within the budget is found."""

from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from samples import needs_data

from toolkit.artifact import Artifact
from toolkit.checks import SIMULATED, Limits, Spent, Verdict
from toolkit.conversion import CurveCost, CurvePoint
from toolkit.errors import CheckFailed, InputError, OutputExists, Unavailable
from toolkit.graph.precision.convert import convert
from toolkit.graph.precision.integer_fit import IntegerFit
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.registry import find_target
from toolkit.graph.precision.simulate import simulated
from toolkit.pages.axes import crowded
from toolkit.quality.bench import Bench
from toolkit.quality.budget import BUDGETS
from toolkit.quality.cost import units
from toolkit.quality.curve import plot_curve
from toolkit.quality.search import Search
from toolkit.quality.timing import Stopwatch
from toolkit.quality.tuning import Tuned, _chosen, _points, pareto, tune
from toolkit.quality.tuning_page import write_tuning_page
from toolkit.runtimes.subject import load_session
from toolkit.system.progress import Progress


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
    moves = {unit.name: unit.moves for unit in units(onnx.load(small_artifact.path), convolutions_only=False)}
    assert moves["upsample"] == ("output.clamp", "pixel_shuffle")
    assert moves["head"] == ()
    convolutions = units(onnx.load(small_artifact.path), convolutions_only=True)
    assert [unit.name for unit in convolutions] == ["head", "body.0.conv", "body.1.conv", "tail.conv", "upsample"]


def test_pareto() -> None:
    points = [CurvePoint((str(i),), *xy) for i, xy in enumerate([(0, 9), (1, 5), (1, 4), (2, 6), (3, 1), (3, 1)])]
    assert [(point.cost, point.spent) for point in pareto(points)] == [(0, 9), (1, 4), (3, 1)]


@pytest.mark.parametrize("seed", range(4))
def test_the_search_is_nearly_as_good_as_trying_everything(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where losses add up, it costs at most a tenth more than the best of all mixes; few are measured."""
    monkeypatch.setattr("toolkit.quality.search.EXHAUSTIVE", 3)
    random = np.random.default_rng(seed)
    names = [f"u{index}" for index in range(12)]
    cost = dict(zip(names, random.dirichlet(np.full(12, 0.5)), strict=True))
    shares = dict(zip(names, random.exponential(0.05, 12), strict=True))
    limits = Limits(0.4 * sum(shares.values()), 1.0, 1.0)

    def lost(kept: frozenset[str]) -> float:
        return sum(share for name, share in shares.items() if name not in kept)

    search = Search(cost, limits, lambda kept: Spent(lost(kept), 0.0, 0.0))
    search.run()
    found = min(search.price(mix) for mix in search.measured if search.fits(mix))
    mixes = (frozenset(mix) for size in range(13) for mix in combinations(names, size))
    best = min(
        sum(cost[name] for name in mix) + 0.01 * lost(mix) / limits.mean for mix in mixes if lost(mix) <= limits.mean
    )
    assert found <= 1.1 * best + 1e-12
    assert len(search.measured) < 150
    assert search.alone()["u3"].mean == pytest.approx(shares["u3"])
    assert search.raised()["u3"].mean == pytest.approx(sum(shares.values()) - shares["u3"])


@pytest.mark.parametrize("which", ["mean", "worst_image", "worst_patch"])
def test_every_limit_counts(which: str) -> None:
    """Two units, one of which spends too much of one thing only."""
    search = Search(
        {"a": 0.9, "b": 0.1},
        Limits(0.1, 0.3, 4.0),
        lambda kept: Spent(**{"mean": 0.0, "worst_image": 0.0, "worst_patch": 0.0, which: 0.0 if "a" in kept else 9}),
    )
    search.run()
    assert {mix for mix in search.measured if search.fits(mix)} == {frozenset("a"), frozenset("ab")}


def test_nan_fits_nowhere() -> None:
    assert Limits(0.1, 0.3, 4.0).used(Spent(float("nan"), 0.0, 0.0)) > 1


def test_times_are_shares_of_the_fp32_graphs(small_artifact: Artifact) -> None:
    """The same graph takes about the same time; what is computed in another precision is not timed."""
    watch = Stopwatch(small_artifact, "int8", "ort-cpu", 1)
    graph = onnx.load(small_artifact.path)
    done: list[Progress] = []
    shares = watch.shares({"same": graph}, "timing", done.append)
    assert shares.keys() == {"same"}
    assert shares["same"] > 0
    assert done[0].fraction == 0
    with pytest.raises(Unavailable, match="computes int8 graphs in fp32"):
        watch.require(graph)
    with pytest.raises(Unavailable):
        Stopwatch(small_artifact, "int8", "tensorrt").require(graph)


def test_a_random_network_has_no_gain_to_spend(small_artifact: Artifact) -> None:
    with pytest.raises(InputError, match="no better than bicubic"):
        tune(small_artifact, "bf16", BUDGETS["bf16"])


@pytest.mark.parametrize(
    ("precision", "budget", "message"),
    [("fp32", 0.1, "cannot be tuned"), ("int8", 10, "out of range")],
)
def test_bad_requests(precision: str, budget: float, message: str, small_artifact: Artifact) -> None:
    with pytest.raises(InputError, match=message):
        tune(small_artifact, precision, Limits(budget, 0.3, 4.0))


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_the_released_network(precision: str, released_artifact: Artifact, tmp_path: Path) -> None:
    limits = BUDGETS[precision]
    tuned = tune(released_artifact, precision, limits, directory=tmp_path)
    manifest = Artifact.read(tuned.artifact.path).manifest
    assert manifest.name.endswith(f"{precision}_tuned")
    assert manifest.conversion is not None
    assert manifest.conversion.curve == tuned.curve
    assert tuned.chosen in tuned.curve
    kept = manifest.conversion.kept_fp32 + manifest.conversion.excluded
    assert [name for name in kept if name != "pixel_shuffle"] == list(tuned.chosen.kept)
    assert ("pixel_shuffle" in kept) == (precision != "int8" and "upsample" in kept)
    assert len(tuned.chosen.kept) < len(tuned.alone)
    # Measured anew from what was written.
    bench = Bench.of(onnx.load(released_artifact.path), released_artifact.manifest, ())
    spent = bench.spent(simulated(onnx.load(tuned.artifact.path)))
    assert spent.mean == pytest.approx(tuned.chosen.spent, abs=1e-9)
    assert (spent.mean, spent.worst_image, spent.worst_patch) <= (limits.mean, limits.worst_image, limits.worst_patch)
    assert manifest.verdicts == (Verdict(SIMULATED, "the toolkit", 5, spent, limits, True),)
    write_tuning_page(tuned, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert f"loses {tuned.spent.mean:.1%} of the gain" in text
    assert text.count("<circle") == len(tuned.curve)
    plot_curve(tuned, tmp_path / "c.svg")
    assert "budget" in (tmp_path / "c.svg").read_text()


def tuned_report(artifact: Artifact, curve: list[tuple[float, float]]) -> Tuned:
    """A tuning with this curve of (cost, share of the gain lost), whose second mix was chosen."""
    names = [f"conv{number}" for number in range(len(curve) - 1)]
    points = tuple(CurvePoint(tuple(names[:number]), *point) for number, point in enumerate(curve))
    lost = {name: Spent(0.01 * number, 0.1, 1.0) for number, name in enumerate(names)}
    chosen = Spent(points[1].spent, 0.1, 1.25)
    limits, cost = Limits(0.05, 0.15, 2.0), CurveCost("multiply-adds")
    return Tuned(artifact, "5 <images>", 1.5, lost, lost, points, points[1], chosen, limits, cost)


def test_the_page_of_a_tuning(small_artifact: Artifact, tmp_path: Path) -> None:
    made = tuned_report(small_artifact, [(0.0, 0.2), (0.3, 0.04), (0.6, 0.02), (1.0, 0.0)])
    write_tuning_page(made, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert "fp32 with 1 of 3 nodes in float32 loses 4.0% of the gain of 1.50 dB over bicubic; 5.0% are allowed." in text
    assert "5 &lt;images&gt;" in text
    assert "conv0</text>" not in text, "it loses nothing alone"
    assert [text.count(f"conv{number}</text>") for number in (1, 2)] == [1, 1]
    assert text.count("class='marked'>4.00%<") == 1
    with pytest.raises(OutputExists):
        write_tuning_page(made, tmp_path / "a.html")


def test_axes_are_logarithmic_where_mixes_are_crowded(small_artifact: Artifact, tmp_path: Path) -> None:
    even = [(0.0, 0.2), (0.3, 0.16), (0.6, 0.1), (1.0, 0.0)]
    cheap = [(0.0, 0.5), (0.001, 0.4), (0.01, 0.3), (0.03, 0.2), (1.0, 0.0)]
    for curve, words in (
        (even, "cheaper.</"),
        (cheap, "cheaper. Mixes that cost less than 0.1% are at the left end.<"),
    ):
        made = tuned_report(small_artifact, curve)
        write_tuning_page(made, tmp_path / "a.html", overwrite=True)
        assert words in (tmp_path / "a.html").read_text()
        plot_curve(made, tmp_path / "a.png", overwrite=True)
    assert not crowded([0.0, 0.3, 0.6, 1.0])
    assert crowded([0.0, 0.001, 0.01, 0.03, 1.0])
    assert not crowded([0.0])


def test_openvino_computes_a_mix_as_it_is(small_artifact: Artifact, tmp_path: Path) -> None:
    """Or tuned artifacts would be as bad there as plain ones."""
    kept = ConvertOptions(keep_fp32=("body.1.conv",))
    session = load_session(convert(small_artifact, "bf16", kept, tmp_path), "openvino")
    ran = {name.partition("/")[0]: node.precision for name, node in session.executed().items()}
    if ran["head"] != "bf16":
        pytest.skip("this processor has no bf16 arithmetic")
    convolutions = {name: ran[name] for name in ("head", "body.0.conv", "body.1.conv", "tail.conv", "upsample")}
    assert convolutions == dict.fromkeys(convolutions, "bf16") | {"body.1.conv": "fp32"}


def test_what_is_not_worth_shipping_is_refused() -> None:
    """Nothing low fits, or what fits is no faster."""
    everything = frozenset("ab")
    search = Search({"a": 0.5, "b": 0.5}, Limits(0.1, 1.0, 1.0), lambda kept: Spent(0.2 * (2 - len(kept)), 0.0, 0.0))
    search.run()
    points = _points(search)
    with pytest.raises(CheckFailed, match="nothing can be lowered to int8"):
        _chosen(search, points, "int8", None)
    loose = Search({"a": 0.5, "b": 0.5}, Limits(0.3, 1.0, 1.0), lambda kept: Spent(0.2 * (2 - len(kept)), 0.0, 0.0))
    loose.run()
    assert _chosen(loose, points, "int8", None) == frozenset("a")
    timed = {mix: CurvePoint(tuple(sorted(mix)), 1.0 if mix == everything else 1.1, 0.2) for mix in points}
    with pytest.raises(CheckFailed, match=r"no mix of int8 and float32 .* is faster .* takes 1\.10 times as long"):
        _chosen(loose, timed, "int8", "openvino")


def test_int8_ranges_are_measured_once(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(model: onnx.ModelProto, *_: object) -> IntegerFit:
        return IntegerFit(model, {node.input[0]: 1.0 for node in model.graph.node if node.op_type == "Conv"})

    model = onnx.load(small_artifact.path)
    monkeypatch.setattr("toolkit.graph.precision.integers.fit_integers", fit)
    prepared = find_target("int8").prepare(model, small_artifact.manifest, ConvertOptions())
    monkeypatch.setattr("toolkit.graph.precision.integers.fit_integers", lambda *_: pytest.fail("again"))
    made = prepared.rewrite(ConvertOptions(exclude=("head",))).model
    assert sum(node.op_type == "QuantizeLinear" for node in made.graph.node) == 4
