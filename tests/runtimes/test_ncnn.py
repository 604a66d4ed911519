"""ncnn: conversion by pnnx with proof, precision that is not lowered, engines, Vulkan where there is a driver."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.passes.widen_channel_mean import WidenChannelMean
from toolkit.graph.source import source_checkpoint
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.module import numpy_function
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.ncnn.runtime import STARTS_VULKAN, NcnnRuntime
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.registry import RUNTIMES, build
from toolkit.system.atomic import sha256_of
from toolkit.workloads import Shape

LIVE = NetworkConfig(scale=3, channels=5, blocks=1, hidden=7, stem="gaussian")
os.environ["RT4KSR_SOFTWARE_VULKAN"] = "1"  # a driver in software will do
VULKAN = RUNTIMES["ncnn-vulkan"].probe()
del os.environ["RT4KSR_SOFTWARE_VULKAN"]


def noise(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, *size), np.float32)


def truth(artifact: Artifact, frame: np.ndarray) -> np.ndarray:
    return numpy_function(source_checkpoint(artifact).network, "float64")(frame).clip(0, 1)


def run(source: Artifact | Path, runtime: str, size: tuple[int, int]) -> np.ndarray:
    session = toolkit.load_session(source, runtime, SessionOptions(threads=1))
    session.bind(size)
    return session.run(noise(size))


def narrowed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph as versions of the toolkit before wrote it, with means over a single axis."""
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    (axes,) = (tensor for tensor in changed.graph.initializer if tensor.name == "shared.batch_and_channels")
    axes.CopyFrom(onnx.numpy_helper.from_array(np.array([1]), axes.name))
    return changed


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 14), (33, 21)])
def test_every_size(size: tuple[int, int], small_artifact: Artifact) -> None:
    result = run(small_artifact, "ncnn", size)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, truth(small_artifact, noise(size)), rtol=0, atol=1e-5)


def test_a_live_high_frequency_branch(tmp_path: Path) -> None:
    artifact = export(checkpoint(LIVE), directory=tmp_path)
    np.testing.assert_allclose(run(artifact, "ncnn", (7, 5)), truth(artifact, noise((7, 5))), rtol=0, atol=1e-5)


def test_nothing_is_lowered(small_artifact: Artifact) -> None:
    """By default ncnn computes in 16 bits where the device supports that."""
    session = toolkit.load_session(small_artifact, "ncnn")
    assert {(node.precision, node.device) for node in session.executed().values()} == {("fp32", "CPU")}
    options = session._network._net.opt
    lowering = [name for name in dir(options) if any(part in name for part in ("fp16", "bf16", "int8", "winograd"))]
    assert len(lowering) > 10
    assert not [name for name in lowering if getattr(options, name)]


def test_an_engine_runs_at_any_size(small_artifact: Artifact, tmp_path: Path) -> None:
    engine = build(small_artifact, "ncnn", directory=tmp_path).engine
    assert {"network.param", "network.bin"} <= {path.name for path in engine.path.iterdir()}
    assert float(engine.info.read_back["error against float64"].split()[0]) < 1e-5
    np.testing.assert_array_equal(run(engine.path, "ncnn", (9, 14)), run(small_artifact, "ncnn", (9, 14)))
    assert Engine.read(engine.path).built_for is None


def test_a_conversion_to_another_function_is_refused(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pnnx makes of a mean over a single axis, without an error."""
    from toolkit.runtimes.ncnn import conversion

    monkeypatch.setattr(WidenChannelMean, "rewritten", lambda self, model: narrowed(model))
    monkeypatch.setattr(conversion, "_CONVERTED", {})
    monkeypatch.setattr(conversion, "_ERRORS", {})
    with pytest.raises(ArtifactError, match="computes another function"):
        NcnnRuntime().load(small_artifact)
    with pytest.raises(ArtifactError, match="computes another function"):
        NcnnRuntime().build(small_artifact, directory=tmp_path / "engines")
    assert not list((tmp_path / "engines").glob("*"))


def test_an_artifact_of_an_earlier_version(small_artifact: Artifact, tmp_path: Path) -> None:
    content = narrowed(onnx.load(small_artifact.path)).SerializeToString(deterministic=True)
    manifest = replace(small_artifact.manifest, onnx_sha256=sha256_of(content), onnx_bytes=len(content))
    older = Artifact.write(tmp_path, content, manifest, small_artifact.read_weights().read_bytes())
    np.testing.assert_array_equal(run(older, "ncnn", (9, 14)), run(small_artifact, "ncnn", (9, 14)))


def test_a_static_artifact(tmp_path: Path) -> None:
    artifact = export(checkpoint(), ExportOptions(shape=Shape(8, 12)), tmp_path)
    np.testing.assert_allclose(run(artifact, "ncnn", (8, 12)), truth(artifact, noise((8, 12))), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [(ExportOptions(uint8="NHWC"), "float32 planes"), (ExportOptions(shape=Shape(9, 13)), "extends its size 13x9")],
)
def test_graphs_that_are_refused(options: ExportOptions, words: str, tmp_path: Path) -> None:
    artifact = export(checkpoint(), options, tmp_path)
    with pytest.raises(Unavailable, match=words):
        toolkit.load_session(artifact, "ncnn")


@pytest.mark.skipif(VULKAN.ok, reason="there is a Vulkan device")
def test_without_a_vulkan_driver() -> None:
    assert "Vulkan" in VULKAN.reason
    assert "driver" in VULKAN.remedy


@pytest.mark.skipif(not VULKAN.ok, reason=VULKAN.reason)
def test_vulkan(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """All layers run on the device. Its GELU is an approximation."""
    monkeypatch.setenv("RT4KSR_SOFTWARE_VULKAN", "1")
    session = toolkit.load_session(small_artifact, "ncnn-vulkan")
    devices = {node.device for node in session.executed().values()}
    assert len(devices) == 1
    assert devices.pop() in VULKAN.version
    result = run(small_artifact, "ncnn-vulkan", (9, 14))
    np.testing.assert_allclose(result, truth(small_artifact, noise((9, 14))), rtol=0, atol=2**-8)


def test_a_driver_in_software_is_no_gpu(tmp_path: Path) -> None:
    """With a module in the place of ncnn, in the process that starts Vulkan."""
    (tmp_path / "ncnn.py").write_text(
        "class Device:\n    type = lambda self: 3\n    device_name = lambda self: 'llvmpipe'\n"
        "get_gpu_count = lambda: 1\nget_default_gpu_index = lambda: 0\nget_gpu_info = lambda index: Device()\n"
        "destroy_gpu_instance = lambda: None\n"
    )
    found = {}
    for allowed in ("0", "1"):
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "RT4KSR_SOFTWARE_VULKAN": allowed}
        command = [sys.executable, "-c", STARTS_VULKAN]
        found[allowed] = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (found["0"].returncode, found["1"].returncode) == (1, 0)
    assert "only a driver in software (llvmpipe)" in found["0"].stderr
    assert found["1"].stdout == "llvmpipe\n"
