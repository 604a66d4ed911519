"""GPU runtimes: refused on a machine without a GPU before anything is touched; correct on one with a GPU."""

import json
from pathlib import Path

import numpy as np
import pytest

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.graph.source import source_checkpoint
from toolkit.network.module import numpy_function
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.onnxruntime.session import OrtSession
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import RUNTIMES, build
from toolkit.runtimes.subject import load_session
from toolkit.workloads import Shape

SHAPE = Shape(16, 24)
without_gpu = pytest.mark.skipif(bool(cuda_devices()[0]), reason="there is a GPU: it would be used")


def frame() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, *SHAPE.sides), np.float32)


@without_gpu
@pytest.mark.parametrize(
    "name", ["torch-cuda", "torch-compile-cuda", "ort-cuda", "ort-tensorrt", "tensorrt", "tensorrt-rtx"]
)
def test_gpu_runtimes_are_refused_before_anything_is_touched(
    name: str, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("the library was touched")

    monkeypatch.setattr("torch.cuda.is_available", touched)
    monkeypatch.setattr("toolkit.system.probe.importlib.import_module", touched)
    with pytest.raises(Unavailable, match="no NVIDIA driver") as caught:
        RUNTIMES[name].load(small_artifact)
    assert caught.value.exit_code == 3


@without_gpu
def test_an_engine_is_refused_before_anything_is_touched(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a driver TensorRT may crash as it loads an engine."""
    engine = build(small_artifact, "tensorrt-rtx", BuildOptions(shape=SHAPE, target=("sm86",)), tmp_path).engine

    def touched(*_: object) -> None:
        raise AssertionError("the engine was loaded")

    monkeypatch.setattr(type(RUNTIMES["tensorrt-rtx"]), "_load_engine", touched)
    with pytest.raises(Unavailable, match="tensorrt-rtx is not available: there is no NVIDIA driver"):
        load_session(engine.path)


@without_gpu
@pytest.mark.parametrize("name", ["ort-cuda", "ort-tensorrt"])
def test_onnxruntime_itself_does_not_fall_back(name: str, small_artifact: Artifact) -> None:
    """Past the probe, ONNX Runtime would load the model on the CPU with a line in the log. It must not."""
    provider = RUNTIMES[name]._provider(small_artifact, SHAPE, BuildOptions())  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match=r"cannot run .* on|instead of"):
        OrtSession(small_artifact, provider, 1)


@without_gpu
@pytest.mark.parametrize("name", ["ort-cuda", "ort-tensorrt", "tensorrt"])
def test_gpu_engines_are_not_built_without_a_gpu(name: str, small_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=f"building for {name} is not available: there is no NVIDIA driver") as caught:
        build(small_artifact, name, directory=tmp_path)
    assert caught.value.exit_code == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["ort-cuda", "ort-tensorrt", "tensorrt", "tensorrt-rtx"])
def test_gpu_runtimes_agree_with_float64(name: str, small_artifact: Artifact) -> None:
    available = RUNTIMES[name].probe()
    if not available.ok:
        pytest.skip(f"{name}: {available.reason}")
    session = toolkit.load_session(small_artifact, name)
    network = numpy_function(source_checkpoint(small_artifact).network, "float64")
    for shape in (SHAPE, Shape(7, 9), SHAPE):
        session.bind(shape)
        x = np.random.default_rng(0).random((1, 3, *shape.sides), np.float32)
        for image in (x, 1 - x):  # the second time a captured graph is replayed
            np.testing.assert_allclose(session.run(image), network(image), rtol=0, atol=1e-4)
    told = {node.precision for node in session.executed().values()}
    assert told == {"unknown"} if name == "ort-tensorrt" else "fp32" in told


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["ort-cuda", "ort-tensorrt", "tensorrt", "tensorrt-rtx"])
def test_gpu_engines_are_built_loaded_and_reused(name: str, small_artifact: Artifact, tmp_path: Path) -> None:
    available = RUNTIMES[name].probe()
    if not available.ok:
        pytest.skip(f"{name}: {available.reason}")
    options = BuildOptions(shape=SHAPE)
    engine = build(small_artifact, name, options, tmp_path).engine
    assert not build(small_artifact, name, options, tmp_path).fresh
    session = load_session(engine.path)
    session.bind(SHAPE)
    truth = numpy_function(source_checkpoint(small_artifact).network, "float64")(frame()).clip(0, 1)
    np.testing.assert_allclose(session.run(frame()), truth, rtol=0, atol=1e-4)
    Engine.read(engine.path)  # and loading it has changed nothing
    again = build(small_artifact, name, BuildOptions(shape=Shape(32, 32)), tmp_path, overwrite=True).engine
    if name in {"ort-tensorrt", "tensorrt"}:
        assert again.info.read_back["timings from"] == engine.path.name
    if name in {"tensorrt", "tensorrt-rtx"}:
        assert json.loads(again.file("layers.json").read_text())["Layers"]
