"""All runtimes against float64 truth, at sizes they like and sizes they do not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import InputError, Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.graph.source import source_checkpoint
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.module import numpy_function
from toolkit.precisions import Precision
from toolkit.runtimes.onnxruntime.provider import cuda_provider
from toolkit.runtimes.onnxruntime.session import OrtSession
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.runtimes.registry import RUNTIMES, build
from toolkit.runtimes.reported import short_precision
from toolkit.runtimes.subject import load_session
from toolkit.system.openvino_core import openvino_core
from toolkit.system.probe import Availability
from toolkit.workloads import WORKLOADS, Shape

NAMES = ["torch-unfused", "torch", "ort-cpu", "openvino", "native"]
LIVE = NetworkConfig(scale=3, channels=5, blocks=1, hidden=7, stem="gaussian")


@pytest.fixture(scope="module")
def live_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(checkpoint(LIVE), directory=tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def uint8_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export(checkpoint(), ExportOptions(uint8="NHWC"), tmp_path_factory.mktemp("uint8"))


def noise(shape: Shape) -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, *shape.sides), np.float32)


def truth(artifact: Artifact, frame: np.ndarray) -> np.ndarray:
    return numpy_function(source_checkpoint(artifact).network, "float64")(frame).clip(0, 1)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(height=st.integers(1, 33), width=st.integers(1, 33))
def test_every_size(name: str, height: int, width: int, small_artifact: Artifact) -> None:
    shape = Shape(height, width)
    session = toolkit.load_session(small_artifact, name, SessionOptions(threads=1))
    session.bind(shape)
    result = session.run(noise(shape))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, truth(small_artifact, noise(shape)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 14)])
def test_a_live_high_frequency_branch(name: str, size: tuple[int, int], live_artifact: Artifact) -> None:
    session = toolkit.load_session(live_artifact, name)
    session.bind(Shape(*size))
    frame = noise(Shape(*size))
    np.testing.assert_allclose(session.run(frame), truth(live_artifact, frame), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(8, 12), (7, 5)])
def test_uint8_images(name: str, size: tuple[int, int], uint8_artifact: Artifact) -> None:
    session = toolkit.load_session(uint8_artifact, name)
    session.bind(Shape(*size))
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    result = session.run(image)
    exact = truth(uint8_artifact, image.transpose(0, 3, 1, 2) / 255).transpose(0, 2, 3, 1)
    assert result.dtype == np.uint8
    assert np.abs(result - np.rint(exact.clip(0, 1) * 255)).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_frames_may_change_and_so_may_sizes(name: str, small_artifact: Artifact) -> None:
    session = toolkit.load_session(small_artifact, name)
    for shape in (Shape(10, 12), Shape(6, 8), Shape(10, 12)):
        session.bind(shape)
        for frame in (noise(shape), 1 - noise(shape)):
            np.testing.assert_allclose(session.run(frame), truth(small_artifact, frame), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_frames_that_may_not_be_written_to(name: str, small_artifact: Artifact) -> None:
    """As an image library gives them."""
    frame = noise(Shape(6, 8))
    frame.flags.writeable = False
    session = toolkit.load_session(small_artifact, name)
    session.bind(Shape(6, 8))
    np.testing.assert_allclose(session.run(frame), truth(small_artifact, frame), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_frames_are_refused(name: str, small_artifact: Artifact) -> None:
    session = toolkit.load_session(small_artifact, name)
    with pytest.raises(InputError, match="no size yet"):
        session.run(noise(Shape(4, 4)))
    session.bind(Shape(4, 6))
    for wrong in (noise(Shape(6, 4)), noise(Shape(4, 6)).astype(np.float64), noise(Shape(4, 6))[0]):
        with pytest.raises(InputError, match="the session takes float32"):
            session.run(wrong)


@pytest.mark.parametrize("name", NAMES)
def test_a_static_artifact_has_one_size(name: str, tmp_path: Path) -> None:
    artifact = export(checkpoint(), ExportOptions(shape=Shape(9, 8)), tmp_path)
    session = toolkit.load_session(artifact, name)
    with pytest.raises(InputError, match="accepts only 8x9"):
        session.bind(Shape(8, 8))
    session.bind(Shape(9, 8))
    frame = noise(Shape(9, 8))
    np.testing.assert_allclose(session.run(frame), truth(artifact, frame), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_executed_precision_is_read_back(name: str, small_artifact: Artifact, uint8_artifact: Artifact) -> None:
    """float32 artifacts run in float32: OpenVINO would take bf16 by itself where the processor has it."""
    for artifact in (small_artifact, uint8_artifact):
        executed = toolkit.load_session(artifact, name).executed()
        precisions = {node.precision for node in executed.values()}
        assert "fp32" in precisions
        assert precisions <= {"fp32", "uint8"}
        assert all("cpu" in node.device.lower() for node in executed.values())
        assert len(executed) >= 8


def test_openvino_is_told_the_precision(small_artifact: Artifact) -> None:
    session = toolkit.load_session(small_artifact, "openvino", SessionOptions(threads=1))
    session.bind(Shape(8, 8))
    compiled = session._compiled  # type: ignore[attr-defined]
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_openvino_puts_no_other_precision_in_the_place_of_the_asked_for(
    precision: Precision, small_artifact: Artifact, tmp_path: Path
) -> None:
    """A hint for float16 means bfloat16 on a processor without float16, which then loses eight times as much."""
    artifact = convert(small_artifact, precision, directory=tmp_path)
    session = toolkit.load_session(artifact, "openvino")
    able = precision.upper() in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    ran = {node.precision for node in session.executed().values()}
    assert ran <= {"fp32", precision}
    assert precision in ran or not able
    engine = build(artifact, "openvino", BuildOptions(shape=Shape(8, 8))).engine
    assert {node.precision for node in load_session(engine).executed().values()} == ran


def test_ctrl_c_finds_the_process_alive_after_sessions_that_overlap(small_artifact: Artifact) -> None:
    """OpenVINO's cores, gone in the order they came, leave no stack for the signal's handler."""
    program = f"""
import signal, toolkit
from toolkit.workloads import Shape
def session():
    opened = toolkit.load_session({str(small_artifact.path)!r}, "openvino")
    opened.bind(Shape(8, 8))
    return opened
first = session()
second = session()
del first
del second
signal.raise_signal(signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt"), (done.returncode, done.stderr)


@pytest.mark.parametrize("name", ["ort-cpu", "openvino"])
def test_a_precision_the_artifact_does_not_have_is_refused(name: str, small_artifact: Artifact) -> None:
    with pytest.raises(Unavailable, match="a precision is a property of the artifact") as caught:
        RUNTIMES[name].load(small_artifact, precision="fp16")
    assert caught.value.exit_code == 3


def test_torch_lowers_the_network_where_the_processor_can(
    small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.graph.precision.base.instruction_sets", frozenset)
    with pytest.raises(Unavailable, match="no fp16 arithmetic"):
        RUNTIMES["torch"].load(small_artifact, precision="fp16")
    with pytest.raises(Unavailable, match="int8"):
        RUNTIMES["torch"].load(small_artifact, precision="int8")
    monkeypatch.setattr(
        "toolkit.graph.precision.base.instruction_sets", lambda: frozenset({"avx512_bf16", "avx512_fp16"})
    )
    session = RUNTIMES["torch"].load(small_artifact, precision="fp16")
    session.bind(Shape(8, 8))
    result = session.run(noise(Shape(8, 8)))
    error = np.abs(result - truth(small_artifact, noise(Shape(8, 8)))).max()
    assert 1e-5 < error < 0.05
    assert {node.precision for node in session.executed().values()} == {"fp16"}


@pytest.mark.parametrize("name", NAMES)
def test_an_unavailable_runtime_is_an_error(
    name: str, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Availability(False, "it is not installed", "pip install it")
    monkeypatch.setattr(type(RUNTIMES[name]), "probe", lambda self: gone)
    with pytest.raises(Unavailable, match="it is not installed") as caught:
        toolkit.load_session(small_artifact, name)
    assert caught.value.exit_code == 3
    assert caught.value.remedy == "pip install it"


@pytest.mark.parametrize(("name", "module"), [("ort-cpu", "onnxruntime"), ("openvino", "openvino")])
def test_probes_say_what_is_missing(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RUNTIMES[name].probe().ok
    monkeypatch.setitem(sys.modules, module, None)  # makes `import module` fail
    found = RUNTIMES[name].probe()
    assert not found.ok
    assert module in found.reason
    assert "pip install" in found.remedy


def test_ort_does_not_fall_back(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    class Fallen(onnxruntime.InferenceSession):
        def get_providers(self) -> list[str]:
            return ["SomeOtherExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Fallen)
    with pytest.raises(Unavailable, match="SomeOtherExecutionProvider instead of CPUExecutionProvider"):
        toolkit.load_session(small_artifact, "ort-cpu")


def test_ort_says_where_its_nodes_are(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that calls itself CUDA's while its nodes are on the CPU, as ONNX Runtime itself tells."""
    import onnxruntime

    class Half(onnxruntime.InferenceSession):
        def __init__(self, path: Path, options: onnxruntime.SessionOptions, **more: object) -> None:
            assert more["enable_fallback"] == 0
            assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
            super().__init__(path, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Half)
    with pytest.raises(Unavailable, match=r"not run all of .* on CUDA.*: \S+ is on CPUExecutionProvider and \d+ more"):
        OrtSession(small_artifact, cuda_provider(BuildOptions()), 1)


def test_there_is_no_such_runtime(small_artifact: Artifact) -> None:
    with pytest.raises(InputError, match="no runtime 'cuda'"):
        toolkit.load_session(small_artifact, "cuda")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("torch.float32", "fp32"),
        ("float", "fp32"),
        ("f16", "fp16"),
        ("FP16", "fp16"),
        ("torch.bfloat16", "bf16"),
        ("tensor(float16)", "fp16"),
        ("u8", "uint8"),
        ("I8", "int8"),
    ],
)
def test_precisions_have_one_name(given: str, expected: str) -> None:
    assert short_precision(given) == expected


@pytest.mark.slow
def test_the_released_networks_at_a_full_frame(released_artifact: Artifact) -> None:
    """ONNX Runtime and OpenVINO against fused PyTorch at the size the networks were made for; all other tests compare
    runtimes at sizes that take no time."""
    workload = WORKLOADS[released_artifact.manifest.workload or ""]
    frame = noise(workload.shape)
    results = {}
    for name in ("torch", "ort-cpu", "openvino"):
        session = toolkit.load_session(released_artifact, name)
        session.bind(workload.shape)
        results[name] = session.run(frame).copy()
    assert results["torch"].shape == (1, 3, 2160, 3840)
    assert np.abs(results["ort-cpu"] - results["torch"]).max() <= 1e-5
    assert np.abs(results["openvino"] - results["torch"]).max() <= 1e-5
