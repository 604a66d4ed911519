"""Scaled channels and centred outputs: the same function, in numbers that low precision holds better."""

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.analysis.tensors import tensor_function
from toolkit.graph.export import export
from toolkit.graph.precision.centring import CentreOutputs, output_means
from toolkit.graph.precision.convert import convert
from toolkit.graph.precision.keeping import kept_nodes
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.registry import find_target
from toolkit.graph.precision.scaling import ScaleChannels, bf16_factors, int8_factors
from toolkit.graph.precision.simulate import simulated
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.quality.bench import Bench
from toolkit.quality.budget import BUDGETS


def frames(count: int = 3) -> list[np.ndarray]:
    return [np.random.default_rng(seed).random((1, 3, 32, 48), np.float32) for seed in range(count)]


def run(model: onnx.ModelProto, frame: np.ndarray) -> np.ndarray:
    return ReferenceEvaluator(model).run(None, {"input": frame})[0]


def exactly(model: onnx.ModelProto) -> np.ndarray:
    """What a float32 graph means: its constants are float32, its arithmetic is not, on no machine."""
    return float64_function(in_float64(model))(frames()[0].astype(np.float64))


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def scaled(artifact: Artifact) -> tuple[onnx.ModelProto, onnx.ModelProto, dict[str, np.ndarray]]:
    model = onnx.load(artifact.path)
    factors = bf16_factors(model, artifact.manifest.input, frames())
    graph = ir.from_proto(model)
    ScaleChannels(factors)(graph)
    return model, ir.to_proto(graph), factors


@pytest.fixture(scope="module")
def offset_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The bundled network: its convolutions make a little on top of a lot."""
    return export(toolkit.bundled_checkpoint(2), directory=tmp_path_factory.mktemp("offset"))


def test_int8_gives_all_channels_of_a_tensor_one_range(small_artifact: Artifact) -> None:
    model, port = onnx.load(small_artifact.path), small_artifact.manifest.input
    made = ScaleChannels(int8_factors(model, port, frames())).rewritten(model)
    np.testing.assert_allclose(exactly(made), exactly(model), rtol=0, atol=2e-6)
    for name in ("body.0.norm.add_1", "tail.conv"):
        before, after = (
            np.concatenate([tensor_function(graph, tensor)(frame, port)[0].reshape(6, -1) for frame in frames()], 1)
            for graph, tensor in ((model, name), (made, f"{name}.scaled"))
        )
        ranges = [np.quantile(np.abs(values), 0.999, axis=1) for values in (before, after)]
        assert ranges[0].max() / ranges[0].min() > 1.2
        np.testing.assert_allclose(ranges[1], ranges[1].max(), rtol=1e-4)


def test_scaling_changes_nothing_but_rounding(small_artifact: Artifact) -> None:
    model, made, factors = scaled(small_artifact)
    assert list(factors) == ["body.0.norm.add_1", "body.1.norm.add_1", "tail.norm.add_1", "tail.conv"]
    assert all(((factor >= 1) & (factor < 2)).all() for factor in factors.values())
    assert any((factor != 1).any() for factor in factors.values())
    onnx.checker.check_model(made, full_check=True)
    np.testing.assert_allclose(exactly(made), exactly(model), rtol=0, atol=2e-6)
    names = {name for node in made.graph.node for name in node.output}
    assert {f"{name}.scaled" for name in factors} <= names
    assert not factors.keys() & names  # or they would be compared with what they are a multiple of


def test_a_scale_that_is_there_takes_the_factor(small_artifact: Artifact) -> None:
    model, made, factors = scaled(small_artifact)
    again = ir.from_proto(made)
    ScaleChannels({f"{name}.scaled": np.full(len(factor), 1.5) for name, factor in factors.items()})(again)
    assert [node.op_type for node in again.graph].count("Mul") == [n.op_type for n in made.graph.node].count("Mul")
    np.testing.assert_allclose(exactly(ir.to_proto(again)), exactly(model), rtol=0, atol=2e-6)


def test_factors_make_roundings_smaller(small_artifact: Artifact) -> None:
    """Of what each tensor holds for a frame that was not looked at."""
    model, made, factors = scaled(small_artifact)
    unseen, port = frames(4)[3], small_artifact.manifest.input
    for name, factor in factors.items():
        errors = []
        for graph, tensor, divisor in ((model, name, 1), (made, f"{name}.scaled", factor.reshape(1, -1, 1, 1))):
            values = tensor_function(graph, tensor)(unseen, port)
            error = (values.astype(ml_dtypes.bfloat16).astype(np.float64) - values) / divisor
            errors.append(np.square(error).mean((0, 2, 3)))
        assert (errors[1] <= 1.05 * errors[0]).all()
        assert errors[1].sum() < 0.98 * errors[0].sum()


def test_shared_weights_are_left_alone(tmp_path: Path) -> None:
    """The same head for the image and for its high frequencies."""
    artifact = export(checkpoint(NetworkConfig(channels=6, blocks=1, stem="gaussian")), directory=tmp_path)
    model, made, _ = scaled(artifact)
    np.testing.assert_allclose(exactly(made), exactly(model), rtol=0, atol=5e-6)


def test_norms_may_share_a_shift(small_artifact: Artifact) -> None:
    """Each takes a factor of its own."""
    model = onnx.load(small_artifact.path)
    shifts = [node for node in model.graph.node if node.name in ("body.0.norm.add_1", "body.1.norm.add_1")]
    first = next(name for name in shifts[0].input if name in constants(model))
    shifts[1].input[list(shifts[1].input).index(next(n for n in shifts[1].input if n in constants(model)))] = first
    graph = ir.from_proto(model)
    ScaleChannels(bf16_factors(model, small_artifact.manifest.input, frames()))(graph)
    np.testing.assert_allclose(exactly(ir.to_proto(graph)), exactly(model), rtol=0, atol=2e-6)


@pytest.mark.parametrize("target", [np.float16, ml_dtypes.bfloat16])
def test_centring_changes_nothing_but_rounding(target: type, offset_artifact: Artifact) -> None:
    model, port = onnx.load(offset_artifact.path), offset_artifact.manifest.input
    means = output_means(model, port, frames())
    kept = kept_nodes(model, ["between"])
    graph = ir.from_proto(model)
    centre = CentreOutputs(means, kept, np.dtype(target))
    centre(graph)
    made = ir.to_proto(graph)
    onnx.checker.check_model(made, full_check=True)
    # `tail.conv` is read by a convolution, which would read zeros at the border where there are means.
    names = ["head", *(f"body.{index}.conv" for index in range(4)), "upsample"]
    assert centre.added == {f"{name}.mean" for name in names}
    np.testing.assert_allclose(exactly(made), exactly(model), rtol=0, atol=5e-5)
    before, after = constants(model), constants(made)
    for name in names:
        left, mean = after[f"{name}.bias.centred"], after[f"{name}.mean.value"].reshape(-1)
        assert (left == left.astype(target).astype(np.float32)).all()
        old = next(node.input[2] for node in model.graph.node if node.name == name)
        np.testing.assert_allclose(left.astype(np.float64) + mean, before[old], atol=1e-6)
        np.testing.assert_allclose(mean, means[name], atol=0.02 * np.abs(means[name]).max())


def test_what_low_nodes_read_is_not_centred(offset_artifact: Artifact) -> None:
    model, port = onnx.load(offset_artifact.path), offset_artifact.manifest.input
    means = output_means(model, port, frames(1))
    others = {"head.mean", "body.1.conv.mean", "body.2.conv.mean", "body.3.conv.mean", "upsample.mean"}
    for wanted, added in (([], set()), (["norm"], {"head.mean"}), (["between", "body.0.conv"], others)):
        centre = CentreOutputs(means, kept_nodes(model, wanted), np.dtype(np.float16))
        centre(ir.from_proto(model))
        assert centre.added == added


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_large_offsets_cost_nothing_any_more(precision: str, offset_artifact: Artifact) -> None:
    model, frame = onnx.load(offset_artifact.path), frames()[0]
    exact, manifest = run(model, frame), offset_artifact.manifest
    prepared = find_target(precision).prepare(model, manifest, ConvertOptions())
    errors = []
    for keep in (("between",), ("norm",), ()):
        made = prepared.rewrite(ConvertOptions(keep_fp32=keep)).model
        errors.append(np.abs(run(simulated(made), frame) - exact).mean())
    assert errors[0] < 0.5 * errors[1] < errors[2]


def test_names_that_keep() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="c"),
        helper.make_node("Mul", ["a", "a"], ["e"], name="b.0.norm.mul"),
        helper.make_node("Conv", ["e", "d"], ["f"], name="dw", group=4),
        helper.make_node("Relu", ["f"], ["y"], name="b.01"),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    names = [node.name for node in model.graph.node]

    def kept(*wanted: str) -> list[str]:
        return list(filter(kept_nodes(model, wanted), names))

    assert kept() == []
    assert kept("between") == ["b.0.norm.mul", "dw", "b.01"]
    assert kept("between", "c") == names
    assert kept("norm") == kept("b.0.norm") == kept("b.0") == ["b.0.norm.mul"]
    with pytest.raises(InputError, match=r"no node is called 'b\.1'"):
        kept("b.1")


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
def bundled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Bench]:
    """A network that ships, and what its lower precisions are compared with. That of x3 repeats that of x2, slowly."""
    artifact = export(toolkit.bundled_checkpoint(request.param), directory=tmp_path_factory.mktemp("bundled"))
    return artifact, Bench.of(onnx.load(artifact.path), artifact.manifest, ())


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_bundled_weights_keep_within_their_budget(precision: str, bundled: tuple[Artifact, Bench]) -> None:
    """As `convert` makes them, without tuning, computed as the graph says."""
    artifact, bench = bundled
    lowered = convert(artifact, precision)
    spent = bench.spent(simulated(onnx.load(lowered.path)))
    assert BUDGETS[precision].used(spent) <= 1
