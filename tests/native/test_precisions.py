"""bf16 and int8 as the artifact's graph says them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from native.graphs import Builder
from native.graphs import artifact as graph_artifact
from native.lowering import RANGE
from native.lowering import lowered as in_precision
from native.networks import branched, float64, rounding_to_bf16, strided
from native.running import Native
from onnx.reference import ReferenceEvaluator

from toolkit.artifact import Artifact
from toolkit.precisions import Precision
from toolkit.runtimes.subject import load_session
from toolkit.system.hardware import instruction_sets
from toolkit.workloads import Shape


@pytest.fixture(scope="module", params=["strided", "branched"])
def lowered(
    request: pytest.FixtureRequest, native: Callable[..., Native], small_artifact: Artifact
) -> Callable[[Precision], Native]:
    """A network of the tests in another precision."""
    model = {"strided": strided, "branched": branched}[request.param]()
    made: dict[str, Native] = {}

    def convert(precision: Precision) -> Native:
        if precision not in made:
            made[precision] = native(in_precision(model, small_artifact.manifest, precision))
        return made[precision]

    return convert


def test_bf16_rounds_what_convolutions_read_and_nothing_else(lowered: Callable[[Precision], Native]) -> None:
    network = lowered("bf16")
    frame = network.noise(14, 38)
    model = onnx.load(network.artifact.path)
    (expected,) = ReferenceEvaluator(rounding_to_bf16(model)).run(None, {"input": frame})
    difference = np.abs(network.run(frame) - expected)
    # A sum that lies near a boundary between two bf16 numbers may fall on either side.
    assert difference.max() < 0.02
    assert difference.mean() < 2e-4
    assert "bf16" in network.library().executed().values()


@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"])
def test_bf16_is_the_same_on_all_targets_but_for_the_order_of_two_additions(
    target: str, lowered: Callable[[Precision], Native]
) -> None:
    network = lowered("bf16")
    frame = network.noise(6, 34)
    got, reference = network.run(frame, target), network.run(frame, "scalar")
    if target == "x86-64-v4-bf16":
        assert np.abs(got - reference).mean() < 2e-4
    else:
        np.testing.assert_array_equal(got, reference)


@pytest.mark.parametrize("target", ["scalar", "x86-64-v3", "x86-64-v4", "x86-64-v4-vnni"])
def test_int8_sums_are_exact(target: str, lowered: Callable[[Precision], Native]) -> None:
    """Against ONNX Runtime computing the graph as it is written, node by node in float32."""
    ort = pytest.importorskip("onnxruntime")
    network = lowered("int8")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(network.artifact.path), options, providers=["CPUExecutionProvider"])
    alike = []
    for seed in range(5):
        frame = network.noise(14, 38, seed)
        (expected,) = session.run(None, {"input": frame})
        difference = np.abs(network.run(frame, target) - expected)
        alike.append(difference.max() < 1e-5)
        assert difference.max() < 4 * RANGE / 127
        np.testing.assert_array_equal(network.run(frame, target), network.run(frame, threads=3))
    # float32 rounding, and now and then a value between two integers that falls the other way: all pixels around it.
    assert sum(alike) >= 3


def test_int8_costs_what_quantisation_costs(lowered: Callable[[Precision], Native]) -> None:
    """A whole number wrong somewhere would show at once: half a step an operator is all there may be."""
    network = lowered("int8")
    frame = network.noise(14, 38)
    exact = float64(onnx.load(network.artifact.path))(frame)
    assert np.abs(network.run(frame) - exact).mean() < 1e-3


def test_int8_values_beyond_the_range_are_limited(lowered: Callable[[Precision], Native]) -> None:
    network = lowered("int8")
    frame = np.full((1, 3, 8, 8), 1e12, np.float32)
    limited = np.full((1, 3, 8, 8), RANGE, np.float32)
    if "Pad" not in {node.op_type for node in onnx.load(network.artifact.path).graph.node}:
        np.testing.assert_array_equal(network.run(frame), network.run(limited))


def chain() -> onnx.ModelProto:
    """Two convolutions with positive weights: of bright images they make the largest sums."""
    made = Builder(7)
    first = made.conv("input", 3, 8, 3)
    model = made.model(made.shuffled(made.conv(first, 8, 12, 3), 2))
    for tensor in model.graph.initializer:
        weight = onnx.numpy_helper.to_array(tensor)
        if weight.ndim == 4:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.abs(weight), tensor.name))
    return model


def joined() -> onnx.ModelProto:
    """A convolution reads a concatenation of tensors of which one has no negative values."""
    made = Builder(7)
    first = made.conv("input", 3, 8, 3)
    second = made.node("Relu", made.conv(first, 8, 8, 3))
    both = made.node("Concat", first, second, made.node("Concat", second, first, axis=1), axis=1)
    return made.model(made.shuffled(made.conv(both, 32, 12, 1), 2))


@pytest.mark.parametrize("make", [chain, joined])
def test_the_same_integers_everywhere(
    make: Callable[[], onnx.ModelProto], small_artifact: Artifact, tmp_path: Path
) -> None:
    """Also where a processor adds two products in 16 bits. And OpenVINO moves a quantiser that reads a concatenation to
    its parts, and then loses negative values; without VNNI it does whatever the graph looks like (2026.4)."""
    model = make()
    integers = in_precision(model, small_artifact.manifest, "int8")
    network = Native(graph_artifact(integers, small_artifact, tmp_path, scale=2))
    frame = np.maximum(network.noise(20, 26), 0.5) if make is chain else network.noise(20, 26)
    (expected,) = ReferenceEvaluator(onnx.load(network.artifact.path)).run(None, {"input": frame})
    (exact,) = ReferenceEvaluator(model).run(None, {"input": frame})
    results = {"native": network.run(frame)}
    exact_sums = not instruction_sets().isdisjoint({"avx512_vnni", "avx_vnni", "amx_int8"})
    for name in ("ort-cpu", "openvino") if exact_sums or make is chain else ("ort-cpu",):
        session = load_session(network.artifact, name)
        session.bind(Shape(20, 26))
        results[name] = session.run(frame).copy()
    assert "int8" in network.library().executed().values()
    quantisation = np.abs(expected - exact).mean()
    for name, result in results.items():
        # Apart from values that lie at the boundary between two integers, which are few.
        assert np.abs(result - expected).mean() < 0.05 * quantisation, name
