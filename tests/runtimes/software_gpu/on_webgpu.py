"""ONNX Runtime's WebGPU provider on a Vulkan driver in software, against float64."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import SMALL, checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.graph.source import source_checkpoint
from toolkit.network.module import numpy_function
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.registry import RUNTIMES, build
from toolkit.workloads import Shape

NAME = "ort-webgpu"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Of 8 channels: see `test_never_wrong_values`."""
    return export(checkpoint(replace(SMALL, channels=8)), directory=tmp_path_factory.mktemp("artifact"))


def noise(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, *size), np.float32)


def truth(artifact: Artifact, frame: np.ndarray) -> np.ndarray:
    return numpy_function(source_checkpoint(artifact).network, "float64")(frame).clip(0, 1)


def test_it_works_and_says_where() -> None:
    found = RUNTIMES[NAME].probe()
    assert found.ok, found.reason
    assert "onnxruntime-ep-webgpu" in found.version
    assert found.version.endswith("CPU device")


def test_every_size(artifact: Artifact) -> None:
    session = toolkit.load_session(artifact, NAME)
    for size in ((1, 1), (2, 3), (9, 14), (33, 21)):
        session.bind(size)
        x = noise(size)
        for image in (x, 1 - x):
            np.testing.assert_allclose(session.run(image), truth(artifact, image), rtol=0, atol=1e-4)
    ran = {(node.precision, node.device) for node in session.executed().values()}
    assert ran == {("fp32", "WebGpuExecutionProvider")}


def test_an_engine(artifact: Artifact, tmp_path: Path) -> None:
    engine = build(artifact, NAME, directory=tmp_path).engine
    read_back = engine.info.read_back
    assert read_back["executed"].startswith("fp32: ")
    assert float(read_back["distance from the artifact's arithmetic"].split()[0]) < 1e-4
    session = toolkit.load_session(engine.path)
    session.bind((9, 14))
    np.testing.assert_allclose(session.run(noise((9, 14))), truth(artifact, noise((9, 14))), rtol=0, atol=1e-4)
    assert not build(artifact, NAME, directory=tmp_path).fresh
    Engine.read(engine.path)


def test_a_static_artifact_of_an_odd_size(artifact: Artifact, tmp_path: Path) -> None:
    static = export(source_checkpoint(artifact), ExportOptions(shape=Shape(9, 13)), tmp_path)
    session = toolkit.load_session(static, NAME)
    session.bind((9, 13))
    np.testing.assert_allclose(session.run(noise((9, 13))), truth(static, noise((9, 13))), rtol=0, atol=1e-4)


def test_never_wrong_values(small_artifact: Artifact) -> None:
    """The provider's version 0.4.0 computes garbage for convolutions with 6 channels, without an error."""
    try:
        session = toolkit.load_session(small_artifact, NAME)
    except Unavailable as refusal:
        assert "wrongly" in str(refusal)
        return
    session.bind((9, 14))
    np.testing.assert_allclose(session.run(noise((9, 14))), truth(small_artifact, noise((9, 14))), rtol=0, atol=1e-4)


def test_precisions_that_it_does_not_have(artifact: Artifact, tmp_path: Path) -> None:
    """Not run on the CPU instead, and no float16 without `shader-f16`, which SwiftShader does not have."""
    half = convert(artifact, "fp16", directory=tmp_path)
    with pytest.raises(Unavailable, match="requires f16 but the device does not support it"):
        toolkit.load_session(half, NAME)
    integers = convert(artifact, "int8", directory=tmp_path)
    with pytest.raises(Unavailable, match="fallback to CPU EP has been explicitly disabled"):
        toolkit.load_session(integers, NAME)


def test_commands(
    artifact: Artifact, tmp_path: Path, toolkit_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    how = ["--workload", "24x16", "--duration", "0.01", "--no-roofline", "--json"]
    done = toolkit_command("profile", artifact.path, "--runtime", NAME, *how)
    assert done.returncode == 0, done.stderr
    cell = json.loads(done.stdout)["cells"][-1]
    assert (cell["runtime"], cell["executed"].keys()) == (NAME, {"fp32"})
    assert cell["statistics"]["median"] > 0

    images = tmp_path / "images"
    images.mkdir()
    levels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(levels).resize((64, 48), Image.Resampling.BICUBIC).save(images / "noise.png")
    what = ["--images", images, "--runtime", f"{NAME},ort-cpu", "--json"]
    done = toolkit_command("evaluate", artifact.path, *what)
    assert done.returncode == 0, done.stderr
    (network,) = json.loads(done.stdout)["networks"]
    measured = {subject["runtime"]: subject["mean"]["psnr_y"] for subject in network["subjects"]}
    assert measured[NAME] == pytest.approx(measured["ort-cpu"], abs=0.01)

    photo = tmp_path / "photo.png"
    Image.fromarray(levels).save(photo)
    results = {}
    for runtime in (NAME, "ort-cpu"):
        output = tmp_path / f"{runtime}.png"
        done = toolkit_command("upscale", photo, "-o", output, "--model", artifact.path, "--runtime", runtime)
        assert done.returncode == 0, done.stderr
        results[runtime] = np.asarray(Image.open(output)).astype(int)
    assert np.abs(results[NAME] - results["ort-cpu"]).max() <= 1
