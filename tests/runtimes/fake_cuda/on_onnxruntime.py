"""ONNX Runtime sessions, which compute on the CPU on what they find at the device addresses that they get."""

import ctypes
import gc
import json
from pathlib import Path
from typing import Any, ClassVar

import onnx
import onnxruntime
import pytest
from runtimes.fake_cuda.stand_in import DRIVER, SHAPE, check, noise
from samples import rewrite_engine

from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, Unavailable
from toolkit.runtimes.onnxruntime import gpu_session as ort_gpu_session
from toolkit.runtimes.onnxruntime.gpu_session import OrtGpuSession
from toolkit.runtimes.onnxruntime.provider import cuda_provider, tensorrt_provider
from toolkit.runtimes.onnxruntime.runtime import OrtGpuRuntime
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build
from toolkit.runtimes.subject import load_session
from toolkit.system.probe import Availability
from toolkit.system.progress import Progress
from toolkit.workloads import Shape


class OnDevice(onnxruntime.InferenceSession):
    """Takes a GPU provider's options, as the real one would, and device addresses."""

    opened: ClassVar[list[dict[str, Any]]] = []
    graphs: ClassVar[list[str]] = []

    def __init__(
        self, model: Path | bytes, options: Any, providers: list[tuple[str, dict[str, str]]], **_: Any
    ) -> None:
        ((self.provider, given),) = providers
        path = None if isinstance(model, bytes) else Path(model)
        self.opened.append({"provider": self.provider, "path": path, **given})
        if path is None:  # for CUDA: nothing in it may run on the CPU
            assert "Shape" not in {node.op_type for node in onnx.load_from_string(model).graph.node}
        if caches := given.get("trt_engine_cache_path"):
            self.fill(Path(caches))
        super().__init__(model, options.__class__(), providers=["CPUExecutionProvider"])

    def fill(self, caches: Path) -> None:
        """As the TensorRT provider does: an engine that is there already is taken."""
        if not (caches / "TRTKernel_0.engine").exists():
            for name in ("TRTKernel_0.engine", "TRTKernel_0.profile"):
                (caches / name).write_text(name)
            timing = caches / "cache_sm86.timing"
            timing.write_text((timing.read_text() if timing.exists() else "") + "measured ")

    def get_providers(self) -> list[str]:
        return [self.provider]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        return []

    def io_binding(self) -> Any:
        return Binding(super().io_binding())

    def run_with_iobinding(self, binding: Any, run_options: Any = None) -> None:
        self.graphs.append(run_options.get_run_config_entry("gpu_graph_id"))
        assert run_options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        DRIVER.cuStreamSynchronize(ctypes.c_void_p(int(self.opened[-1]["user_compute_stream"])))
        super().run_with_iobinding(binding.bound)


class Binding:
    def __init__(self, bound: Any) -> None:
        self.bound = bound

    def bind_input(self, name: str, device: str, number: int, dtype: str, shape: Any, address: int) -> None:
        assert (device, number) == ("cuda", 0)
        self.bound.bind_input(name, "cpu", 0, dtype, shape, DRIVER.fake_host(address))

    def bind_output(self, name: str, device: str, number: int, dtype: str, shape: Any, address: int) -> None:
        assert (device, number) == ("cuda", 0)
        self.bound.bind_output(name, "cpu", 0, dtype, shape, DRIVER.fake_host(address))


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> type[OnDevice]:
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnDevice)
    monkeypatch.setattr(OnDevice, "opened", [])
    monkeypatch.setattr(OnDevice, "graphs", [])
    monkeypatch.setattr(OrtGpuRuntime, "probe", lambda self: Availability(True))
    # What the sessions say of themselves cannot be asked without a profile of the real provider.
    monkeypatch.setattr(ort_gpu_session.OrtGpuSession, "executed", lambda self: {})
    return OnDevice


@pytest.mark.parametrize("runtime", ["cuda", "tensorrt"])
def test_onnxruntime_reads_and_writes_device_memory(
    runtime: str, small_artifact: Artifact, on_device: type[OnDevice]
) -> None:
    options = BuildOptions()
    provider = cuda_provider(options) if runtime == "cuda" else tensorrt_provider(small_artifact, SHAPE, options)
    session = OrtGpuSession(small_artifact, provider, 1)
    for shape in (SHAPE, Shape(7, 5), SHAPE):
        check(session, small_artifact, shape)
    # Every bound size has a graph of its own. The TensorRT provider knows only one, and so gets sessions of their own.
    assert on_device.graphs == [number for number in "123" for _ in range(3)]
    assert len(on_device.opened) == (1 if runtime == "cuda" else 3)


def test_a_session_that_could_not_be_bound_does_not_run(
    small_artifact: Artifact, on_device: type[OnDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = OrtGpuSession(small_artifact, cuda_provider(BuildOptions()), 1)
    session.bind(SHAPE)

    def fail(*_: object) -> None:
        raise RuntimeError("no kernel image\nmore words")

    with monkeypatch.context() as patch, pytest.raises(Unavailable, match=r"at 16x16: no kernel image$"):
        patch.setattr(on_device, "run_with_iobinding", fail)
        session.bind(Shape(16, 16))
    with pytest.raises(Unavailable, match="not bound"):
        session.run(noise(SHAPE))


def test_an_ort_cuda_bundle(small_artifact: Artifact, on_device: type[OnDevice], tmp_path: Path) -> None:
    options = BuildOptions(shape=SHAPE, nhwc=False)
    engine = build(small_artifact, "ort-cuda", options, tmp_path).engine
    assert set(engine.info.files) == {"manifest.json", "model.onnx", "provider.json"}
    assert engine.file("model.onnx").read_bytes() == small_artifact.path.read_bytes()
    assert engine.info.settings == {"cuda-graph": "true", "nhwc": "false", "tf32": "false"}
    assert engine.info.machine == {"device": "Fake GPU", "driver": "570.86.15 (CUDA 12.8)"}
    assert engine.info.identity["compute capability"] == "8.6"
    expected = {"use_tf32": "0", "prefer_nhwc": "0", "enable_cuda_graph": "1"}
    assert json.loads(engine.file("provider.json").read_text())["options"] == expected
    assert engine.info.identity["device"] == "Fake GPU"
    assert "--runtime ort-cuda --shape 12x8 --no-nhwc" in engine.rebuild_command
    assert not build(small_artifact, "ort-cuda", options, tmp_path).fresh
    check(load_session(engine), small_artifact, SHAPE)
    assert on_device.opened[-1].items() >= expected.items()


def test_a_bundle_of_another_provider_is_refused(
    small_artifact: Artifact, on_device: type[OnDevice], tmp_path: Path
) -> None:
    engine = build(small_artifact, "ort-cuda", BuildOptions(shape=SHAPE), tmp_path).engine
    engine.file("provider.json").write_text('{"name": "CPUExecutionProvider", "options": {}}')
    with pytest.raises(ArtifactError, match="is for CPUExecutionProvider, not CUDAExecutionProvider"):
        load_session(engine)


def test_an_ort_tensorrt_bundle_holds_its_caches_and_is_not_written_to(
    small_artifact: Artifact, on_device: type[OnDevice], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build(small_artifact, "ort-tensorrt", BuildOptions(shape=SHAPE), tmp_path).engine
    caches = {"TRTKernel_0.engine", "TRTKernel_0.profile", "cache_sm86.timing"}
    assert set(engine.info.files) == caches | {"manifest.json", "model.onnx", "provider.json"}
    assert engine.info.read_back["engine cache"] == "TRTKernel_0.engine, TRTKernel_0.profile"
    assert engine.info.read_back["timing cache"] == "cache_sm86.timing"
    assert engine.info.read_back["timings from"] == "none"
    assert str(tmp_path) not in engine.file("provider.json").read_text()
    before = {path.name: path.stat().st_mtime_ns for path in engine.path.iterdir()}
    session = load_session(engine)
    private = on_device.opened[-1]["path"].parent
    assert private != engine.path
    check(session, small_artifact, SHAPE)
    (private / "TRTKernel_1.engine").write_text("built because the other one was of no use")
    with pytest.raises(Unavailable, match="did not take the engine") as caught:
        session.bind(Shape(16, 16))
    assert "--runtime ort-tensorrt" in caught.value.remedy
    assert {path.name: path.stat().st_mtime_ns for path in engine.path.iterdir()} == before
    del session, caught  # whose traceback holds the session
    gc.collect()
    assert not private.exists()


def test_ort_tensorrt_starts_from_earlier_timings(
    small_artifact: Artifact, on_device: type[OnDevice], tmp_path: Path
) -> None:
    first = build(small_artifact, "ort-tensorrt", BuildOptions(shape=SHAPE), tmp_path).engine
    assert first.file("cache_sm86.timing").read_text() == "measured "
    second = build(small_artifact, "ort-tensorrt", BuildOptions(shape=Shape(16, 16)), tmp_path, overwrite=True)
    assert second.fresh
    assert second.engine.file("cache_sm86.timing").read_text() == "measured measured "
    assert second.engine.info.read_back["timings from"] == first.path.name
    rewrite_engine(second.engine.path, lambda info: info["identity"].update(device="another GPU"))
    with pytest.raises(Unavailable, match="device is Fake GPU here, and it was built for another GPU"):
        load_session(second.engine.path)
    steps: list[Progress] = []
    third = build(small_artifact, "ort-tensorrt", BuildOptions(shape=SHAPE), tmp_path, steps.append).engine
    assert third.info.read_back["timings from"] == "none"
    assert any("it was built for something else" in step.activity for step in steps)


def test_ort_tensorrt_that_writes_no_engine_is_an_error(
    small_artifact: Artifact, on_device: type[OnDevice], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_device, "fill", lambda self, caches: None)
    with pytest.raises(Unavailable, match="wrote no engine"):
        build(small_artifact, "ort-tensorrt", BuildOptions(shape=SHAPE), tmp_path)
    assert not list(tmp_path.iterdir())
