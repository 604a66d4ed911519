"""Graphs as PyTorch modules, their roundings, and fine-tuning for a lower precision."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from native.graphs import Builder
from native.graphs import artifact as graph_artifact
from native.networks import branched, gated, strided
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.torch import load_file
from samples import checkpoint

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.export import export
from toolkit.graph.precision.floats import calibration_frames
from toolkit.graph.precision.integer_fit import fit_integers
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.quantise import QuantiseConvs
from toolkit.graph.precision.registry import find_target
from toolkit.graph.precision.simulate import simulated
from toolkit.system.progress import Progress, no_progress
from toolkit.training.finetuning import finetune
from toolkit.training.loop import LAST_FILE
from toolkit.training.lowering.config import FinetuneConfig
from toolkit.training.lowering.graph_network import GraphNetwork
from toolkit.training.lowering.integers import IntegerConvolutions, activation_integers, weight_integers
from toolkit.training.lowering.lowering import lowering_for
from toolkit.training.lowering.trainee import GraphTrainee

TIES = 1e-3
"""Share of values that may lie at the boundary between two integers, where float32 sums in another order decide."""


def picture(seed: int = 0, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, height, width))


def graph(name: str, like: Artifact, directory: Path) -> Artifact:
    model = {"strided": strided, "branched": branched, "gated": gated}[name]()
    return graph_artifact(model, like, directory, 2)


@pytest.mark.parametrize("name", ["strided", "branched", "gated"])
def test_a_graph_in_pytorch_is_the_graph(name: str, small_artifact: Artifact, tmp_path: Path) -> None:
    artifact = graph(name, small_artifact, tmp_path)
    model = onnx.load(artifact.path)
    expected = float64_function(in_float64(model))(picture())
    result = GraphNetwork(model, artifact.manifest).double()(torch.from_numpy(picture())).detach().numpy()
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_an_exported_network_is_the_graph_at_any_size(small_artifact: Artifact) -> None:
    model = onnx.load(small_artifact.path)
    network = GraphNetwork(model, small_artifact.manifest)
    expected = float64_function(in_float64(model))(picture())
    result = network.double()(torch.from_numpy(picture())).detach().numpy()
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-11 * np.abs(expected).max())
    assert network(torch.zeros(2, 3, 7, 9, dtype=torch.float64)).shape == (2, 3, 14, 18)
    # Images of a batch do not mix.
    both = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    alone = torch.cat([network(image[None]) for image in both])
    np.testing.assert_allclose(network(both).detach(), alone.detach(), rtol=0, atol=1e-11)
    # What is written is what was read, and all weights of convolutions are trained.
    assert network.float().written(model) == model
    assert {node.input[1].replace(".", "/") for node in model.graph.node if node.op_type == "Conv"} <= {
        *network.weights
    }


def test_what_has_no_differentiable_form_is_refused_by_name(small_artifact: Artifact, tmp_path: Path) -> None:
    made = Builder(1)
    x = made.node("Hardmax", made.conv("input", 3, 12, 3))
    artifact = graph_artifact(made.model(made.shuffled(x, 2)), small_artifact, tmp_path, 2)
    with pytest.raises(InputError, match=r"node n1 \(Hardmax\)"):
        GraphNetwork(onnx.load(artifact.path), artifact.manifest)


@pytest.mark.parametrize("name", ["small", "strided", "branched", "gated"])
def test_the_integers_are_those_of_the_onnx_graph(name: str, small_artifact: Artifact, tmp_path: Path) -> None:
    """Bit for bit, for the same values; and in the whole network but for values at a boundary."""
    artifact = small_artifact if name == "small" else graph(name, small_artifact, tmp_path)
    model, manifest = onnx.load(artifact.path), artifact.manifest
    magnitudes = {node.input[0]: 0.4 + 0.3 * index for index, node in enumerate(model.graph.node)}
    network = GraphNetwork(model, manifest, IntegerConvolutions(model, magnitudes))
    quantised = QuantiseConvs(network.convolutions.magnitudes()).rewritten(network.written(model))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantised.graph.initializer}
    nodes = [node for node in quantised.graph.node if node.op_type == "QuantizeLinear"]
    present = {item.name for item in (*quantised.graph.output, *quantised.graph.input)}
    exposed = {name for node in nodes for name in (node.input[0], *node.output)} - present
    quantised.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(exposed))
    frame = picture().astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(quantised.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    values = dict(zip(names, session.run(names, {"input": frame}), strict=True)) | {"input": frame}
    mine = network.evaluate(torch.from_numpy(frame), frozenset(node.input[0] for node in nodes))
    for node in nodes:
        read, integers = node.input[0], node.output[0]
        # A part of a concatenation has the step of the whole.
        step = network.convolutions.step_of(node.input[1].removesuffix(".int8.scale")).detach()
        assert float(step) == stored[node.input[1]]
        same = activation_integers(torch.from_numpy(values[read]), step)
        np.testing.assert_array_equal(same.numpy(), values[integers].astype(np.float32))
        own = activation_integers(mine[read].detach(), step).numpy()
        assert (own != values[integers]).mean() <= TIES
        assert np.abs(own - values[integers]).max() <= 1
    for node in model.graph.node:
        if node.op_type == "Conv":
            whole, steps = weight_integers(torch.from_numpy(numpy_helper.to_array(constant(model, node.input[1]))))
            np.testing.assert_array_equal(whole.numpy(), stored[f"{node.name}.weight.int8"])
            np.testing.assert_array_equal(steps.numpy(), stored[f"{node.name}.weight.int8.scale"])


def constant(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_floats_are_rounded_where_the_onnx_graph_rounds(precision: str, small_artifact: Artifact) -> None:
    model, manifest = onnx.load(small_artifact.path), small_artifact.manifest
    lowering = lowering_for(find_target(precision), model, manifest, ConvertOptions())
    network = GraphNetwork(model, manifest, lowering.convolutions())
    # Without the rounding together and the scaling of channels that the conversion of bf16 adds.
    lowered = find_target("fp16").prepare(model, manifest, ConvertOptions()).rewrite(ConvertOptions()).model
    frame = picture(4).astype(np.float32)
    (exact,) = ReferenceEvaluator(model).run(None, {"input": frame})
    result = network(torch.from_numpy(frame)).detach().numpy()
    assert 0 < np.abs(result - exact).mean() < 0.02
    if precision == "fp16":
        (expected,) = ReferenceEvaluator(simulated(lowered)).run(None, {"input": frame})
        assert np.abs(result - expected).mean() < 0.1 * np.abs(expected - exact).mean()


def test_gradients_reach_weights_and_steps(small_artifact: Artifact) -> None:
    """The gradient of the step is that of the paper: round(v) - v within the range, the limit beyond it."""
    step = torch.tensor(0.5, requires_grad=True)
    x = torch.tensor([0.3, -1.4, 100.0, -100.0], requires_grad=True)
    (activation_integers(x, step) * step).sum().backward()
    v = x.detach() / 0.5
    inside = (v.round() - v)[:2].sum()
    assert step.grad == pytest.approx(float(inside) + 127 - 128, abs=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), [1, 1, 0, 0], atol=1e-6)


def test_fitted_integers_lose_less_than_nearest(small_artifact: Artifact) -> None:
    """On an image that was not looked at."""
    model, manifest = onnx.load(small_artifact.path), small_artifact.manifest
    frames = calibration_frames(manifest)
    fitted = fit_integers(model, manifest.input, frames[:3])
    top = {name: 127 * value for name, value in fitted.magnitudes.items()}
    assert all(value > 0 for value in top.values())
    errors = []
    (exact,) = ReferenceEvaluator(model).run(None, {"input": frames[3]})
    for source in (fitted.model, model):
        graph_ir = ir.from_proto(source)
        QuantiseConvs(fitted.magnitudes)(graph_ir)
        (result,) = ReferenceEvaluator(ir.to_proto(graph_ir)).run(None, {"input": frames[3]})
        errors.append(np.square(result - exact).mean())
    assert errors[0] < 0.8 * errors[1]


@pytest.fixture
def config(small_artifact: Artifact, photos: Path) -> FinetuneConfig:
    """A run that takes a moment."""
    settings = {"patches": [12], "batch": 4, "iterations": 6, "warmup": 1, "threads": 1, "log_interval": 1}
    fields = {**settings, "data": str(photos), "validation": str(photos), "validation_interval": 3}
    return FinetuneConfig.of(small_artifact, "int8", fields)


def test_fine_tuning_writes_what_it_trained(config: FinetuneConfig, small_artifact: Artifact, tmp_path: Path) -> None:
    """An artifact that computes what the trained network computes, and says where it comes from; resumed, the same."""
    made = finetune(config, tmp_path / "run", cache=tmp_path / "cache", allow_worse_than_bicubic=True)
    assert made.artifact is not None and made.run.finished
    manifest = made.artifact.manifest
    assert (manifest.name, manifest.precision) == ("rt4ksr_x2_c6b2_int8", "int8")
    assert manifest.conversion is not None and manifest.conversion.finetuned is not None
    assert manifest.conversion.parent_sha256 == small_artifact.manifest.onnx_sha256
    assert manifest.conversion.finetuned.iterations == 6
    assert [verdict.data for verdict in manifest.verdicts] == [Path(config.validation).name]
    assert any(check.kind == "mean error" and check.subject == "int8" for check in manifest.checks)

    exact = GraphNetwork(onnx.load(small_artifact.path), small_artifact.manifest)
    before = exact(torch.from_numpy(picture().astype(np.float32))).detach().numpy()
    network = GraphTrainee(config).network()
    network.load_state_dict(load_file(made.run.weights))
    trained = network(torch.from_numpy(picture().astype(np.float32))).detach().numpy()
    (result,) = ReferenceEvaluator(onnx.load(made.artifact.path)).run(None, {"input": picture().astype(np.float32)})
    assert np.abs(result - trained).mean() < 0.1 * np.abs(trained - before).mean()

    # Ranges that are widened, but for the known one of the image.
    wide = msgspec.structs.replace(config, range_margin=1.5)
    scales = [activation_scales(item) for item in (onnx.load(made.artifact.path), widened(wide, made.run.weights))]
    assert scales[0].keys() == scales[1].keys()
    for name, scale in scales[0].items():
        assert scales[1][name] == pytest.approx(scale * (1.0 if name.startswith("input") else 1.5), rel=1e-6)

    stopped = msgspec.structs.replace(config, validation="")
    for interrupted in (True, False):
        one = finetune(
            stopped,
            tmp_path / "again",
            resume=not interrupted,
            cache=tmp_path / "cache",
            allow_worse_than_bicubic=True,
            progress=Stopping(3) if interrupted else no_progress,
        )
        assert (one.artifact is None) == interrupted
    assert (tmp_path / "again" / LAST_FILE).read_bytes() == (tmp_path / "run" / LAST_FILE).read_bytes()


def widened(config: FinetuneConfig, weights: Path) -> onnx.ModelProto:
    made = GraphTrainee(config).trained(weights).model
    assert isinstance(made, onnx.ModelProto)
    return made


def activation_scales(model: onnx.ModelProto) -> dict[str, float]:
    """By the name of the scale."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    names = [node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return {name: float(stored[name]) for name in names}


class Stopping:
    """Sends SIGTERM to this process when an iteration has finished."""

    def __init__(self, iteration: int) -> None:
        self._text = f"{iteration}/"

    def __call__(self, progress: Progress) -> None:
        if progress.activity.startswith(self._text):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_run_belongs_to_one_artifact(config: FinetuneConfig, tmp_path: Path) -> None:
    other = export(checkpoint(seed=5), directory=tmp_path)
    with pytest.raises(InputError, match="not the artifact that this run was made for"):
        GraphTrainee(msgspec.structs.replace(config, artifact=str(other.path)))


def test_settings_that_do_not_fit(small_artifact: Artifact, photos: Path) -> None:
    for fields, message in (
        ({"data": str(photos), "iterations": 0}, "iterations"),
        ({"data": str(photos), "speed": 1}, "speed"),
        ({}, "no directory of photographs"),
    ):
        with pytest.raises(InputError, match=message):
            FinetuneConfig.of(small_artifact, "int8", fields)
    config = FinetuneConfig.of(small_artifact, "bf16", {"data": str(photos), "exclude": ["head"]})
    with pytest.raises(InputError, match="exclude applies to int8"):
        GraphTrainee(config)
    assert FinetuneConfig.from_json(config.to_json()) == config
