"""What can be known of TensorRT without a GPU: options, timing caches, what the engine inspector writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from toolkit.artifact import Artifact
from toolkit.runtimes.building import BuildJob
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.runtimes.engine import Engine, EngineInfo, engine_path, write_engine
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build
from toolkit.runtimes.tensorrt import runtime as tensorrt_module
from toolkit.runtimes.tensorrt.runtime import TensorRtRuntime, start_timings
from toolkit.runtimes.tensorrt.session import layer_precisions
from toolkit.system.probe import Availability
from toolkit.system.progress import Progress
from toolkit.workloads import Shape

IDENTITY = {"version": "10.16", "device": "a GPU"}


def test_tf32_is_off_unless_asked_for() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    for asked in (False, True):
        config = builder.create_builder_config()
        config.set_flag(trt.BuilderFlag.TF32)  # TensorRT's default
        tensorrt_module._configure(trt, config, BuildOptions(tf32=asked))
        assert config.get_flag(trt.BuilderFlag.TF32) is asked


def test_what_is_asked_for_reaches_the_builder() -> None:
    """On the configuration of TensorRT for RTX, whose interface is TensorRT's."""
    trt = pytest.importorskip("tensorrt_rtx")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    plain, tuned = builder.create_builder_config(), builder.create_builder_config()
    tensorrt_module._configure(trt, plain, BuildOptions())
    options = BuildOptions(optimization_level=1, version_compatible=True, hardware_compatible=True)
    tensorrt_module._configure(trt, tuned, options)
    for config, asked in ((plain, False), (tuned, True)):
        assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
        assert config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE) is asked
    assert tuned.builder_optimization_level == 1
    assert plain.builder_optimization_level == builder.create_builder_config().builder_optimization_level
    # This one TensorRT for RTX does not take.
    config = SimpleNamespace(clear_flag=lambda flag: None, set_flag=lambda flag: None)
    tensorrt_module._configure(trt, config, BuildOptions())
    assert not hasattr(config, "hardware_compatibility_level")
    tensorrt_module._configure(trt, config, options)
    assert config.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS


@pytest.mark.parametrize(
    ("layer", "precision"),
    [
        ({"Outputs": [{"Format/Datatype": "Float"}]}, "fp32"),
        ({"Outputs": [{"Format/Datatype": "Half"}]}, "fp16"),
        ({"Outputs": [{"Format/Datatype": "BFloat16"}]}, "bf16"),
        ({"Outputs": [{"Format/Datatype": "Int8"}]}, "int8"),
        ({"Outputs": [{"Format/Datatype": "UInt8"}]}, "uint8"),
        ({"Outputs": [{"Format/Datatype": "Row major linear FP32"}]}, "fp32"),
        ({"Outputs": [{"Format/Datatype": "Row major linear FP16 format"}]}, "fp16"),
        ({"Outputs": [{"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}]}, "fp16"),
        ({"Outputs": [{"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format."}]}, "int8"),
        ({"Outputs": [{"Format/Datatype": "Thirty-two wide channel vectorized row major INT8 format"}]}, "int8"),
        ({"Outputs": [{"Format/Datatype": "Row major linear BFloat16 format"}]}, "bf16"),
        ({"Outputs": [{"Format/Datatype": "N/A due to dynamic shapes"}]}, "unknown"),
        ({"Outputs": []}, "unknown"),
        ({}, "unknown"),
        (
            {"Weights": {"Type": "Half", "Count": 9408}, "Outputs": [{"Format/Datatype": "N/A due to dynamic shapes"}]},
            "fp16",
        ),
        # An int8 convolution whose result is not quantised again.
        ({"Weights": {"Type": "Int8", "Count": 8}, "Outputs": [{"Format/Datatype": "Half"}]}, "int8"),
    ],
)
def test_the_inspectors_words_for_types(layer: dict[str, Any], precision: str) -> None:
    """As TensorRT 8 to 10 write them: in its documentation, and in engines that others have published."""
    assert layer_precisions(json.dumps({"Layers": [{"Name": "layer", **layer}]})) == {"layer": precision}


def test_a_whole_inspection() -> None:
    """Shaped as `IEngineInspector.get_engine_information` returns it with detailed verbosity."""
    tensor = {"Location": "Device", "Dimensions": [1, 24, 540, 960]}
    document = {
        "Layers": [
            {
                "Name": "Reformatting CopyNode for Input Tensor 0 to head",
                "LayerType": "Reformat",
                "Inputs": [{"Name": "image", **tensor, "Format/Datatype": "Row major linear FP32"}],
                "Outputs": [{"Name": "head_in", **tensor, "Format/Datatype": "Row major linear FP16 format"}],
                "ParameterType": "Reformat",
                "TacticValue": "0x00000000000003e8",
            },
            {
                "Name": "head",
                "LayerType": "CaskConvolution",
                "Inputs": [{"Name": "head_in", **tensor, "Format/Datatype": "Row major linear FP16 format"}],
                "Outputs": [
                    {"Name": "x", **tensor, "Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}
                ],
                "ParameterType": "Convolution",
                "Weights": {"Type": "Half", "Count": 2592},
                "TacticName": "sm80_xmma_fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc_nhwc_tilesize128x32x64",
            },
        ],
        "Bindings": ["image", "upscaled"],
        "Enabled Profiles": [],
    }
    found = layer_precisions(json.dumps(document))
    assert found == {"Reformatting CopyNode for Input Tensor 0 to head": "fp16", "head": "fp16"}


def test_an_engine_without_detail_has_names_only() -> None:
    assert layer_precisions('{"Layers": ["conv + relu", "shuffle"]}') == {
        "conv + relu": "unknown",
        "shuffle": "unknown",
    }


class Timings:
    """A timing cache: what was measured, one letter a kernel; `?` is another version's or device's."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def combine(self, other: "Timings", ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        fits = b"?" not in other.content
        self.content += other.content if fits else b""
        return fits


class Config:
    timings = Timings(b"none set")

    def create_timing_cache(self, content: bytes) -> Timings:
        return Timings(content)

    def set_timing_cache(self, timings: Timings, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.timings = timings
        return True


def bundle(artifact: Artifact, directory: Path, name: str, timings: bytes | None, **changes: Any) -> Engine:
    info = EngineInfo(
        runtime="tensorrt",
        artifact=name,
        artifact_sha256=artifact.manifest.onnx_sha256,
        precision="fp32",
        shape=None,
        one_size=False,
        identity=IDENTITY,
        machine={},
        options={},
        settings={},
        build_seconds=1.0,
        files={},
    )
    manifest = msgspec.structs.replace(artifact.manifest, name=name)
    made = Artifact(artifact.path, manifest)
    files = {"plan": b"plan"} | ({} if timings is None else {"timing.cache": timings})
    path = engine_path(made, "tensorrt", directory)
    return write_engine(path, msgspec.structs.replace(info, **changes), made, files)


def test_a_build_starts_from_the_timings_of_earlier_ones(small_artifact: Artifact, tmp_path: Path) -> None:
    fitting = [bundle(small_artifact, tmp_path, name, name.encode()) for name in ("a", "b")]
    bundle(small_artifact, tmp_path, "old", b"old", identity=IDENTITY | {"version": "10.15"})
    bundle(small_artifact, tmp_path, "before", None)
    refused = bundle(small_artifact, tmp_path, "refused", b"?")
    damaged = bundle(small_artifact, tmp_path, "damaged", b"damaged")
    damaged.file("timing.cache").write_bytes(b"changed")
    steps: list[Progress] = []
    config = Config()
    job = BuildJob(small_artifact, None, BuildOptions(), IDENTITY, tmp_path, steps.append)
    assert sorted(start_timings(config, job, "tensorrt")) == sorted(engine.path.name for engine in fitting)
    assert sorted(config.timings.content) == sorted(b"ab")
    said = [step.activity for step in steps]
    assert [line for line in said if "old.tensorrt.engine" in line and "something else" in line]
    assert [line for line in said if refused.path.name in line and "does not take them" in line]
    assert [line for line in said if damaged.path.name in line and "missing, or does not match" in line]
    assert len(said) == 3


def test_without_earlier_bundles_timings_start_empty(small_artifact: Artifact, tmp_path: Path) -> None:
    config = Config()
    assert start_timings(config, BuildJob(small_artifact, None, BuildOptions(), IDENTITY, tmp_path), "tensorrt") == []
    assert config.timings.content == b""


class OnRtx(TensorRtRuntime):
    """TensorRT's runtime with the library of TensorRT for RTX, which must be told a GPU, and keeps empty timings."""

    module = "tensorrt_rtx"

    def probe_build(self) -> Availability:
        return self._installed()

    def _set_targets(self, trt: Any, config: Any, targets: Sequence[str]) -> None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.SM86, 0)


@pytest.mark.skipif(bool(cuda_devices()[0]), reason="there is a GPU: it would be inspected")
def test_a_tensorrt_bundle_has_its_timing_cache(small_artifact: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    first = OnRtx().build(small_artifact, BuildOptions(shape=Shape(16, 16)), tmp_path).engine
    assert set(first.info.files) == {"plan", "timing.cache", "manifest.json"}
    assert first.info.read_back["timing cache"] == "timing.cache"
    assert first.info.read_back["timings from"] == "none"
    assert first.file("timing.cache").stat().st_size > 0
    second = OnRtx().build(small_artifact, BuildOptions(shape=Shape(32, 32)), tmp_path, overwrite=True)
    assert second.fresh
    assert second.engine.info.read_back["timings from"] == first.path.name
    assert second.engine.info.settings == {
        "hardware-compatible": "false",
        "optimization-level": "TensorRT's own",
        "tf32": "false",
        "version-compatible": "false",
    }


@pytest.mark.skipif(bool(cuda_devices()[0]), reason="there is a GPU: it would be inspected")
def test_tensorrt_rtx_keeps_no_timings_and_inspects_nothing_without_a_gpu(
    small_artifact: Artifact, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    options = BuildOptions(shape=Shape(16, 16), target=("sm86",))
    info = build(small_artifact, "tensorrt-rtx", options, tmp_path).engine.info
    assert set(info.files) == {"plan", "manifest.json"}
    assert info.read_back["layers"] == "unknown without a GPU"
    assert "timing cache" not in info.read_back
