"""TensorRT sessions of a plan whose only layer copies its input, and leaves the rest of the output as it was."""

import ctypes
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from runtimes.fake_cuda.stand_in import DRIVER, SHAPE, noise
from samples import rewrite_engine

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.runtimes.building import BuildJob
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build
from toolkit.runtimes.subject import load_session
from toolkit.runtimes.tensorrt.runtime import TensorRtRtxRuntime, TensorRtRuntime
from toolkit.runtimes.tensorrt.session import TensorRtSession
from toolkit.system.probe import Availability
from toolkit.workloads import Shape

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
            load_session(engine)
        assert "--target" not in caught.value.remedy, "it is built again for the GPU here"
    else:
        assert load_session(engine) is engine
    if not target:
        rewrite_engine(engine.path, lambda info: info["identity"].update({"compute capability": "8.9"}))
        with pytest.raises(Unavailable, match=r"compute capability is 8\.6 here, and it was built for 8\.9"):
            load_session(engine.path)


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
