"""Run by test_cuda.py, where libcuda.so.1 is the stand-in of fake_cuda.c."""

import ctypes
import gc
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import onnxruntime
import pytest
from samples import rewrite_engine

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, Unavailable
from toolkit.graph.source import source_checkpoint
from toolkit.network.module import numpy_function
from toolkit.runtimes.building import BuildJob
from toolkit.runtimes.cuda.devices import compute_capability, cuda_devices, driver_version
from toolkit.runtimes.cuda.driver import CUDA_DRIVER, Cuda
from toolkit.runtimes.cuda.frames import DeviceFrames
from toolkit.runtimes.onnxruntime import gpu_session as ort_gpu_session
from toolkit.runtimes.onnxruntime.gpu_session import OrtGpuSession
from toolkit.runtimes.onnxruntime.provider import cuda_provider, tensorrt_provider
from toolkit.runtimes.onnxruntime.runtime import OrtGpuRuntime
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build, load_engine
from toolkit.runtimes.tensorrt.runtime import TensorRtRtxRuntime, TensorRtRuntime
from toolkit.runtimes.tensorrt.session import TensorRtSession
from toolkit.system.probe import Availability
from toolkit.system.progress import Progress
from toolkit.workloads import Shape

SHAPE = Shape(8, 12)
DRIVER = ctypes.CDLL(CUDA_DRIVER)
DRIVER.fake_host.restype, DRIVER.fake_host.argtypes = ctypes.c_void_p, [ctypes.c_uint64]
DRIVER.fake_size.restype, DRIVER.fake_size.argtypes = ctypes.c_size_t, [ctypes.c_uint64]


@pytest.fixture
def cuda() -> Cuda:
    return Cuda()


@pytest.fixture(autouse=True)
def everything_is_given_back() -> Iterator[None]:
    yield
    gc.collect()
    assert DRIVER.fake_live() == 0


def ramp(size: int, start: int = 0) -> np.ndarray:
    return np.arange(start, start + size, dtype=np.float32)


def frames_of(cuda: Cuda, size: int) -> DeviceFrames:
    return DeviceFrames(cuda, cuda.pinned_array((size,), "float32"), cuda.pinned_array((size,), "float32"))


def copying(cuda: Cuda, frames: DeviceFrames) -> Callable[[], None]:
    """The only kernel of the stand-in: the input is the output."""
    target, source = ctypes.c_uint64(frames.output_address), ctypes.c_uint64(frames.input_address)
    size = ctypes.c_size_t(frames.given.nbytes)
    return lambda: cuda.call("fake_copy", target, source, size, ctypes.c_void_p(cuda.stream))


def test_the_device_is_found() -> None:
    assert cuda_devices() == (["Fake GPU"], "")
    assert compute_capability() == "8.6"
    assert driver_version() == "570.86.15 (CUDA 12.8)"


def test_sizes_and_addresses_have_64_bits(cuda: Cuda) -> None:
    size = (1 << 32) + 64
    address = cuda.device_memory(size)
    assert address > 1 << 32
    assert DRIVER.fake_size(address) == size
    cuda.free(address)
    assert DRIVER.fake_size(address) == 0


def test_a_frame_goes_there_and_back_in_order(cuda: Cuda) -> None:
    frames = frames_of(cuda, 100)
    for start in (0, 1000):
        frames.upload(ramp(100, start))
        copying(cuda, frames)()
        np.testing.assert_array_equal(frames.download(), ramp(100, start))


def test_nothing_is_there_before_the_stream_was_waited_for(cuda: Cuda) -> None:
    """Otherwise the stand-in could not tell whether `download` waits."""
    frames = frames_of(cuda, 10)
    frames.returned[:] = 0
    frames.upload(ramp(10, 1))
    copying(cuda, frames)()
    cuda.download(frames.returned, frames.output_address)
    assert not frames.returned.any()
    cuda.synchronise()
    np.testing.assert_array_equal(frames.returned, ramp(10, 1))


def test_pinned_memory_lives_as_long_as_its_last_view(cuda: Cuda) -> None:
    frames = frames_of(cuda, 10)
    frames.upload(ramp(10))
    copying(cuda, frames)()
    view = frames.download()[2:4]
    del frames
    gc.collect()
    assert DRIVER.fake_live() == 1
    np.testing.assert_array_equal(view, [2, 3])


def test_memory_may_be_given_back_on_another_thread(cuda: Cuda) -> None:
    held = [frames_of(cuda, 10)]
    thread = threading.Thread(target=lambda: (held.clear(), gc.collect()))
    thread.start()
    thread.join()
    assert DRIVER.fake_live() == 0


def test_events_measure_what_is_between_them(cuda: Cuda) -> None:
    frames = frames_of(cuda, 10)
    begin, end = cuda.event(), cuda.event()
    with pytest.raises(Unavailable, match="cuEventElapsedTime failed: unknown error \\(600\\)"):
        cuda.seconds_between(begin, end)
    cuda.record(begin)
    frames.upload(ramp(10))
    copying(cuda, frames)()
    cuda.record(end)
    cuda.synchronise()
    # The upload has an event of its own.
    assert cuda.seconds_between(begin, end) == pytest.approx(4 * 0.0005)


def test_a_captured_graph_is_replayed(cuda: Cuda) -> None:
    frames = frames_of(cuda, 10)
    frames.returned[:] = 0
    graph = cuda.capture(copying(cuda, frames))
    frames.upload(ramp(10, 5))
    assert not frames.download().any()  # captured, not run
    graph.launch()
    np.testing.assert_array_equal(frames.download(), ramp(10, 5))


def test_a_failed_capture_is_ended(cuda: Cuda) -> None:
    def fail() -> None:
        raise Unavailable("no such kernel")

    with pytest.raises(Unavailable, match="no such kernel"):
        cuda.capture(fail)
    cuda.synchronise()  # which a capture that still went on would not allow


def test_errors_have_the_drivers_words(cuda: Cuda) -> None:
    with pytest.raises(Unavailable, match=r"cuMemFree_v2 failed: invalid argument \(1\)") as caught:
        cuda.free(12345)
    assert caught.value.exit_code == 3
    with pytest.raises(Unavailable, match=r"cuMemAlloc_v2 failed: out of memory \(2\)"):
        cuda.device_memory(1 << 62)


# ONNX Runtime: its session computes on the CPU, on what it finds at the addresses that it was given


class OnDevice(onnxruntime.InferenceSession):
    """Takes a GPU provider's options, as the real one would, and device addresses."""

    opened: ClassVar[list[dict[str, Any]]] = []
    graphs: ClassVar[list[str]] = []

    def __init__(self, path: Path, options: Any, providers: list[tuple[str, dict[str, str]]], **_: Any) -> None:
        ((self.provider, given),) = providers
        self.opened.append({"provider": self.provider, "path": Path(path), **given})
        if caches := given.get("trt_engine_cache_path"):
            self.fill(Path(caches))
        super().__init__(path, options.__class__(), providers=["CPUExecutionProvider"])

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


def noise(shape: Shape) -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, *shape.sides), np.float32)


def check(session: toolkit.Session, artifact: Artifact, shape: Shape) -> None:
    """Two frames, so that the second must not find the first one's result."""
    session.bind(shape)
    network = numpy_function(source_checkpoint(artifact).network, "float64")
    for frame in (noise(shape), 1 - noise(shape)):
        np.testing.assert_allclose(session.run(frame), network(frame), rtol=0, atol=1e-5)


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
    check(load_engine(engine), small_artifact, SHAPE)
    assert on_device.opened[-1].items() >= expected.items()


def test_a_bundle_of_another_provider_is_refused(
    small_artifact: Artifact, on_device: type[OnDevice], tmp_path: Path
) -> None:
    engine = build(small_artifact, "ort-cuda", BuildOptions(shape=SHAPE), tmp_path).engine
    engine.file("provider.json").write_text('{"name": "CPUExecutionProvider", "options": {}}')
    with pytest.raises(ArtifactError, match="is for CPUExecutionProvider, not CUDAExecutionProvider"):
        load_engine(engine)


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
    session = load_engine(engine)
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
        load_engine(second.engine.path)
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


# TensorRT: a plan whose only layer copies what it is given, and leaves the rest of the output as it was

LAYERS = {"Layers": [{"Name": "conv", "Weights": {"Type": "Float"}, "Outputs": [{"Format/Datatype": "N/A"}]}]}


class Context:
    def __init__(self, config: Any = None) -> None:
        self.config, self.addresses, self.shape, self.runs = config, {}, (), 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shape = shape
        return max(shape) <= 64

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = ctypes.c_uint64(address)

    def execute_async_v3(self, stream: int) -> bool:
        given, returned = self.addresses.values()
        size = ctypes.c_size_t(4 * int(np.prod(self.shape)))
        self.runs += 1
        return DRIVER.fake_copy(returned, given, size, ctypes.c_void_p(stream)) == 0


class RuntimeCache:
    def __init__(self) -> None:
        self.content = b""

    def deserialize(self, blob: bytes) -> bool:
        self.content = blob if blob.startswith(b"kernels") else b""
        return bool(self.content)

    def serialize(self) -> bytes:
        return self.content or b"kernels, compiled"


def fake_tensorrt(*, compiles_at_load: bool) -> Any:
    """As much of `tensorrt` as a session calls, or of `tensorrt_rtx`, which compiles kernels as it loads a plan."""
    config = SimpleNamespace(create_runtime_cache=RuntimeCache) if compiles_at_load else SimpleNamespace()
    config.set_runtime_cache = lambda cache: setattr(config, "cache", cache)
    engine = SimpleNamespace(
        create_execution_context=Context,
        create_runtime_config=lambda: config,
        create_engine_inspector=lambda: SimpleNamespace(get_engine_information=lambda form: json.dumps(LAYERS)),
    )
    loads = SimpleNamespace(
        engine_host_code_allowed=None, deserialize_cuda_engine=lambda plan: engine if plan == b"plan" else None
    )
    return SimpleNamespace(
        Logger=type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None}),
        Runtime=lambda logger: loads,
        loads=loads,
        LayerInformationFormat=SimpleNamespace(JSON=0),
        DynamicShapesKernelSpecializationStrategy=SimpleNamespace(EAGER="eager"),
        config=config,
    )


@pytest.mark.parametrize("compiles_at_load", [False, True], ids=["tensorrt", "tensorrt-rtx"])
def test_tensorrt_replays_its_graph_on_every_frame(compiles_at_load: bool, small_artifact: Artifact) -> None:
    session = TensorRtSession(small_artifact, fake_tensorrt(compiles_at_load=compiles_at_load), b"plan")
    for shape in (SHAPE, Shape(16, 10)):
        session.bind(shape)
        for frame in (noise(shape), 1 - noise(shape)):
            result = session.run(frame)
            assert result.shape == (1, 3, *shape.upscaled(2).sides)
            np.testing.assert_array_equal(result.ravel()[: frame.size], frame.ravel())
    assert session._context.runs == 4  # for each size once before the capture, and once captured
    assert session.device_seconds() == pytest.approx(2 * 0.0005)
    stages = session.stages()
    assert stages is not None
    assert (stages.upload, stages.compute, stages.download) == pytest.approx((0.001, 0.001, 0.001))
    session.place(frame)
    session.compute()
    assert session.stages() is None
    assert {name: node.precision for name, node in session.executed().items()} == {"conv": "fp32"}


def test_a_plan_runs_code_of_its_own_only_where_it_was_built_to(small_artifact: Artifact, tmp_path: Path) -> None:
    trt = fake_tensorrt(compiles_at_load=False)
    for compatible in (False, True):
        job = BuildJob(small_artifact, SHAPE, BuildOptions(version_compatible=compatible), {}, tmp_path)
        TensorRtRuntime()._inspect(trt, job, b"plan")
        assert trt.loads.engine_host_code_allowed is compatible


def test_tensorrt_refuses(small_artifact: Artifact) -> None:
    with pytest.raises(Unavailable, match="cannot load the engine"):
        TensorRtSession(small_artifact, fake_tensorrt(compiles_at_load=False), b"not a plan")
    session = TensorRtSession(small_artifact, fake_tensorrt(compiles_at_load=False), b"plan")
    session.bind(SHAPE)
    with pytest.raises(Unavailable, match="not built for 100x100"):
        session.bind(Shape(100, 100))
    with pytest.raises(Unavailable, match="not bound"):
        session.run(noise(SHAPE))


def test_tensorrt_rtx_is_given_the_kernels_it_compiled_before(small_artifact: Artifact) -> None:
    trt = fake_tensorrt(compiles_at_load=True)
    assert TensorRtSession(small_artifact, trt, b"plan", b"kernels of before").runtime_cache() == b"kernels of before"
    assert trt.config.cache.content == b"kernels of before"
    assert trt.config.dynamic_shapes_kernel_specialization_strategy == "eager"
    assert TensorRtSession(small_artifact, trt, b"plan", b"of another GPU").runtime_cache() == b"kernels, compiled"
    assert TensorRtSession(small_artifact, fake_tensorrt(compiles_at_load=False), b"plan").runtime_cache() == b""


def test_layers_and_kernels_go_into_the_bundle(small_artifact: Artifact, tmp_path: Path) -> None:
    job = BuildJob(small_artifact, SHAPE, BuildOptions(), {}, tmp_path)
    files, read_back = TensorRtRtxRuntime()._inspect(fake_tensorrt(compiles_at_load=True), job, b"plan")
    assert json.loads(files["layers.json"]) == LAYERS
    assert files["runtime.cache"] == b"kernels, compiled"
    assert read_back == {"layers": "layers.json", "executed": "fp32: 1 layers", "runtime cache": "runtime.cache"}


@pytest.mark.parametrize("target", ["", "sm86", "SM80,SM86", "sm120"])
def test_tensorrt_rtx_engines_are_for_their_targets(
    target: str, small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fake GPU is an sm86. On any GPU one can build for others."""
    monkeypatch.setattr(TensorRtRtxRuntime, "_build", lambda self, job: ({"plan": b"plan"}, {}))
    monkeypatch.setattr(TensorRtRtxRuntime, "probe", lambda self: Availability(True))
    monkeypatch.setattr(TensorRtRtxRuntime, "_load_engine", lambda self, engine, options: engine)
    options = BuildOptions(target=tuple(filter(None, target.split(","))))
    engine = build(small_artifact, "tensorrt-rtx", options, tmp_path).engine
    assert not build(small_artifact, "tensorrt-rtx", options, tmp_path).fresh
    if target == "sm120":
        with pytest.raises(Unavailable, match="the GPU here is sm86, and it was built for sm120") as caught:
            load_engine(engine)
        assert "--target sm120" in caught.value.remedy
    else:
        assert load_engine(engine) is engine
    if not target:
        rewrite_engine(engine.path, lambda info: info["identity"].update({"compute capability": "8.9"}))
        with pytest.raises(Unavailable, match=r"compute capability is 8\.6 here, and it was built for 8\.9"):
            load_engine(engine.path)


def test_compatible_engines_are_for_more_than_this_gpu_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TensorRtRuntime, "_version", lambda self: "11.2.0")
    monkeypatch.setattr(TensorRtRuntime, "_installed", lambda self: Availability(True))
    runtime = TensorRtRuntime()
    mine = {"device": "Fake GPU", "compute capability": "8.6"}
    assert runtime.identity(BuildOptions()) == {"version": "11.2.0", **mine}
    assert runtime.identity(BuildOptions(version_compatible=True)) == {"version": "11.x", **mine}
    ampere = {"version": "11.2.0", "compute capability": "8.0 or later"}
    assert runtime.identity(BuildOptions(hardware_compatible=True)) == ampere
    assert runtime.machine() == {"version": "11.2.0", "device": "Fake GPU", "driver": "570.86.15 (CUDA 12.8)"}
    monkeypatch.setattr("toolkit.runtimes.cuda.devices.compute_capability", lambda: "7.5")
    assert runtime.identity(BuildOptions(hardware_compatible=True))["compute capability"] == "7.5"


def test_an_engine_for_other_gpus_need_not_run_here(small_artifact: Artifact, tmp_path: Path) -> None:
    trt = fake_tensorrt(compiles_at_load=True)
    job = BuildJob(small_artifact, SHAPE, BuildOptions(target=("sm120",)), {}, tmp_path)
    files, read_back = TensorRtRtxRuntime()._inspect(trt, job, b"for sm120")
    assert not files
    assert read_back["layers"].startswith("unknown, as it does not run on the GPU here: TensorRT cannot load")
    with pytest.raises(Unavailable):
        TensorRtRtxRuntime()._inspect(trt, BuildJob(small_artifact, SHAPE, BuildOptions(), {}, tmp_path), b"broken")
