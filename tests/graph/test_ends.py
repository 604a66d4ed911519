"""The ends of a deployed graph: values limited to 0..1, and sizes that the network does not take refused."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from samples import SMALL, checkpoint, small_preset

import toolkit
from toolkit.artifact import Artifact
from toolkit.graph.analysis.locality import Locality, locality
from toolkit.graph.any_size import without_size_check
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.passes.limit_output import without_limit
from toolkit.graph.source import exact_source
from toolkit.manifest_parts import Source
from toolkit.network.checkpoint import untrained_checkpoint
from toolkit.network.module import numpy_function
from toolkit.workloads import Shape

Run = Callable[[NDArray[Any]], NDArray[Any]]
CHECK = "output.size_check"


def on_onnxruntime(path: Path) -> Run:
    """Silent, as a refusal is expected."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda frame: session.run(None, {"input": frame})[0]


def on_opencv(path: Path) -> Run:
    import cv2

    network = cv2.dnn.readNetFromONNX(str(path))

    def run(frame: NDArray[Any]) -> NDArray[Any]:
        network.setInput(frame)
        return network.forward()

    return run


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("client", [on_onnxruntime, on_opencv])
def test_clients_refuse_odd_sizes(small_artifact: Artifact, client: Callable[[Path], Run]) -> None:
    """With their defaults, instead of returning fewer rows or columns."""
    run = client(small_artifact.path)
    assert run(np.zeros((1, 3, 12, 14), np.float32)).shape == (1, 3, 24, 28)
    for height, width in ((11, 14), (12, 13), (11, 13)):
        with pytest.raises(Exception, match=r"(?i)reshape"):
            run(np.zeros((1, 3, height, width), np.float32))
    assert run(np.zeros((1, 3, 4, 6), np.float32)).shape == (1, 3, 8, 12)


_ON_OPENVINO = """
import os, sys
import numpy, openvino
os.sched_setaffinity(0, range(os.cpu_count()))
compiled = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
for height, width in ((12, 14), (11, 14), (12, 13), (4, 6)):
    try:
        print(compiled(numpy.zeros((1, 3, height, width), numpy.float32))[0].shape)
    except RuntimeError as error:
        print("reshape" in str(error))
"""


@pytest.mark.skipif(os.cpu_count() == 1, reason="on one CPU, OpenVINO 2026.4 ignores errors of dynamic sizes")
def test_openvino_refuses_odd_sizes(small_artifact: Artifact) -> None:
    """In a process that may use all CPUs, unlike the tests: on one, it returns the result of the frame before."""
    command = [sys.executable, "-c", _ON_OPENVINO, str(small_artifact.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.splitlines() == ["(1, 3, 24, 28)", "True", "True", "(1, 3, 8, 12)"]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_byte_frames_are_checked(layout: str, tmp_path: Path) -> None:
    artifact = export(checkpoint(), ExportOptions(uint8=layout), tmp_path)
    run = on_onnxruntime(artifact.path)
    shape = artifact.manifest.input.frame_shape
    assert run(np.zeros(shape(Shape(6, 8)), np.uint8)).shape == artifact.manifest.output.frame_shape(Shape(12, 16))
    with pytest.raises(Exception, match="Reshape"):
        run(np.zeros(shape(Shape(6, 7)), np.uint8))


def test_sessions_extend_odd_sizes(small_artifact: Artifact) -> None:
    source = checkpoint()
    frame = np.random.default_rng(0).random((1, 3, 11, 13), np.float32)
    truth = numpy_function(source.network, "float64")(frame).clip(0, 1)
    for runtime in ("ort-cpu", "openvino", "native"):
        session = toolkit.load_session(small_artifact, runtime)
        session.bind((11, 13))
        np.testing.assert_allclose(session.run(frame), truth, rtol=0, atol=1e-5)


def test_no_check_where_none_is_needed(tmp_path: Path) -> None:
    static = export(checkpoint(), ExportOptions(shape=Shape(11, 12)), tmp_path)
    assert "Reshape" not in operators(onnx.load(static.path))
    compact = toolkit.export(untrained_checkpoint(2, preset="compact-light"), directory=tmp_path)
    assert "Shape" not in operators(onnx.load(compact.path))


def test_without_the_check(small_artifact: Artifact) -> None:
    checked = onnx.load(small_artifact.path)
    released = without_size_check(checked)
    assert operators(checked)[-3:] == ["Shape", "Mul", "Reshape"]
    assert operators(released) == operators(checked)[:-3]
    assert [end.SerializeToString() for end in released.graph.output] == [
        end.SerializeToString() for end in checked.graph.output
    ]
    assert {item.name for item in checked.graph.initializer} - {item.name for item in released.graph.initializer} == {
        "output.size.factors"
    }
    assert without_size_check(released) is released
    frame = np.random.default_rng(0).random((1, 3, 8, 10), np.float32)
    before, after = (ReferenceEvaluator(model).run(None, {"input": frame})[0] for model in (checked, released))
    np.testing.assert_array_equal(before, after)
    # A Reshape of another kind is not taken for one.
    other = onnx.ModelProto.FromString(checked.SerializeToString())
    next(node for node in other.graph.node if node.op_type == "Shape").input[0] = "head"
    assert without_size_check(other) is other
    assert isinstance(locality(checked), Locality)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_values_are_limited(seed: int) -> None:
    """On images that drive the network out of the range, as no picture does."""
    graph = _graph(clamp=True)
    frame = np.random.default_rng(seed).uniform(-3, 4, (1, 3, 8, 10)).astype(np.float32)
    truth = numpy_function(checkpoint().network, "float64")(frame)
    assert truth.min() < 0 and truth.max() > 1
    (result,) = graph.run(None, {"input": frame})
    np.testing.assert_allclose(result, truth.clip(0, 1), rtol=0, atol=1e-4)


_GRAPHS: dict[bool, ReferenceEvaluator] = {}


def _graph(*, clamp: bool) -> ReferenceEvaluator:
    import tempfile

    if clamp not in _GRAPHS:
        with tempfile.TemporaryDirectory() as directory:
            path = export(checkpoint(), ExportOptions(clamp=clamp), directory).path
            _GRAPHS[clamp] = ReferenceEvaluator(onnx.load(path))
    return _GRAPHS[clamp]


@pytest.mark.parametrize("shape", [None, Shape(8, 10), Shape(9, 11)])
def test_the_limit_is_optional(shape: Shape | None, tmp_path: Path) -> None:
    limited, free = (export(checkpoint(), ExportOptions(shape=shape, clamp=clamp), tmp_path) for clamp in (True, False))
    assert (limited.manifest.output.clamped, free.manifest.output.clamped) == (True, False)
    assert not limited.manifest.input.clamped
    assert free.path.name.startswith("rt4ksr_x2_c6b2_fp32_unclamped")
    counts = [operators(onnx.load(item.path)).count("Clip") for item in (limited, free)]
    assert counts == [1, 0]
    height, width = shape.sides if shape else (8, 10)
    frame = np.random.default_rng(0).uniform(-3, 4, (1, 3, height, width)).astype(np.float32)
    values, unlimited = (on_onnxruntime(item.path)(frame) for item in (limited, free))
    assert unlimited.min() < -0.1 and unlimited.max() > 1.1
    np.testing.assert_allclose(values, unlimited.clip(0, 1), rtol=0, atol=1e-6)


def test_without_the_limit(tmp_path: Path) -> None:
    """Errors of a lowered form are measured in units of what the network itself computes."""
    limited, free = (export(checkpoint(), ExportOptions(clamp=clamp), tmp_path) for clamp in (True, False))
    released, expected = without_limit(onnx.load(limited.path)), onnx.load(free.path)
    assert operators(released) == operators(expected)
    frame = np.random.default_rng(0).uniform(-3, 4, (1, 3, 8, 10)).astype(np.float32)
    found, unlimited = (ReferenceEvaluator(model).run(None, {"input": frame})[0] for model in (released, expected))
    np.testing.assert_array_equal(found, unlimited)
    assert without_limit(released) is released
    source = Source("theirs.onnx", "0" * 64, "", 0, kind="onnx")
    adopted = Artifact(limited.path, msgspec.structs.replace(limited.manifest, source=source))
    answers = [np.abs(exact_source(artifact)(frame.astype(np.float64))).max() for artifact in (limited, free, adopted)]
    np.testing.assert_allclose(answers, np.abs(unlimited).max(), rtol=1e-5)
    assert answers[0] > 1.5


def test_the_limit_is_not_added_twice(tmp_path: Path) -> None:
    """A network that limits its result itself, after adding the image to it."""
    artifact = export(checkpoint(replace(small_preset("rt4ksr-int"), channels=SMALL.channels)), directory=tmp_path)
    assert operators(onnx.load(artifact.path)).count("Clip") == 1
    assert artifact.manifest.output.clamped


def test_runtimes_compute_the_limit(small_artifact: Artifact) -> None:
    frame = np.random.default_rng(0).uniform(-3, 4, (1, 3, 8, 10)).astype(np.float32)
    truth = numpy_function(checkpoint().network, "float64")(frame).clip(0, 1)
    for runtime in ("ort-cpu", "openvino", "native", "torch"):
        session = toolkit.load_session(small_artifact, runtime)
        session.bind((8, 10))
        np.testing.assert_allclose(session.run(frame), truth, rtol=0, atol=1e-4)
