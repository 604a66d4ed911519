"""PyTorch sessions beyond what all sessions have in common: compiled programs, and GPUs that are not there."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.source import source_checkpoint
from toolkit.network.module import numpy_function
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.pytorch import runtime as torch_runtimes
from toolkit.runtimes.pytorch import session as torch_session
from toolkit.runtimes.pytorch.program import CompiledProgram, EagerProgram, FrameNetwork
from toolkit.runtimes.registry import RUNTIMES
from toolkit.system.probe import Availability
from toolkit.workloads import Shape

CUDA = ("torch-cuda", "torch-compile-cuda")
SHAPE = Shape(16, 24)


def noise(shape: Shape) -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, *shape.sides), np.float32)


def truth(artifact: Artifact, frame: np.ndarray) -> np.ndarray:
    return numpy_function(source_checkpoint(artifact).network, "float64")(frame).clip(0, 1)


def run_compiled(session: Session, frame: np.ndarray) -> np.ndarray:
    """A frame, run on condition that everything was compiled before."""
    with torch.compiler.set_stance("fail_on_recompile"):
        return session.run(frame).copy()


@pytest.fixture(scope="module")
def compiled(small_artifact: Artifact) -> Session:
    session = toolkit.load_session(small_artifact, "torch-compile", SessionOptions(threads=1))
    session.bind(SHAPE)
    return session


@pytest.mark.slow
def test_compiled_against_float64(compiled: Session, small_artifact: Artifact) -> None:
    for shape in (SHAPE, Shape(7, 9), Shape(1, 1), SHAPE):
        compiled.bind(shape)
        for frame in (noise(shape), 1 - noise(shape)):
            result = run_compiled(compiled, frame)
            assert result.dtype == np.float32
            np.testing.assert_allclose(result, truth(small_artifact, frame), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_no_frame_of_the_bound_size_is_compiled_for_again(compiled: Session, small_artifact: Artifact) -> None:
    """Whatever its strides say of dimensions of 1, whether or not it may be written to, whoever ran in between."""
    compiled.bind(SHAPE)
    frame = noise(SHAPE)
    expected = run_compiled(compiled, frame)
    read_only = frame.copy()
    read_only.flags.writeable = False
    toolkit.load_session(small_artifact, "torch", SessionOptions(threads=2))
    assert torch.get_num_threads() == 2
    for same in (frame[0][None], np.broadcast_to(frame[0], frame.shape), read_only):
        np.testing.assert_array_equal(run_compiled(compiled, same), expected)
    assert torch.get_num_threads() == 1


def frame_network(artifact: Artifact) -> FrameNetwork:
    return FrameNetwork(source_checkpoint(artifact).network, artifact.manifest, torch.float32, "cpu")


@pytest.mark.slow
def test_more_sizes_than_torch_compile_keeps(small_artifact: Artifact) -> None:
    """PyTorch gives up on a function at nine of them. Compiled by a backend that does not: only the count matters."""
    limit = torch._dynamo.config.recompile_limit
    counting = CompiledProgram(frame_network(small_artifact), {})
    counting._inductor = lambda graph, inputs: graph.forward  # type: ignore[method-assign]
    for side in range(2, 2 * limit + 6, 2):
        frame = torch.from_numpy(noise(Shape(side, 8)))
        counting.prepare(frame)
        with torch.compiler.set_stance("fail_on_recompile"):
            result = counting(frame).numpy()
        np.testing.assert_allclose(result, truth(small_artifact, frame.numpy()), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_compiled_uint8_images(tmp_path: Path) -> None:
    artifact = export(checkpoint(), ExportOptions(uint8="NHWC"), tmp_path)
    session = toolkit.load_session(artifact, "torch-compile")
    session.bind(SHAPE)
    image = np.random.default_rng(0).integers(0, 256, (1, *SHAPE.sides, 3), np.uint8)
    result = run_compiled(session, image)
    exact = truth(artifact, image.transpose(0, 3, 1, 2) / 255).transpose(0, 2, 3, 1)
    assert result.dtype == np.uint8
    assert np.abs(result - np.rint(exact.clip(0, 1) * 255)).max() <= 1
    assert {node.precision for node in session.executed().values()} == {"fp32", "uint8"}


@pytest.mark.slow
def test_what_inductor_was_handed(compiled: Session, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    executed = compiled.executed()
    assert {(node.precision, node.device) for node in executed.values()} == {("fp32", "cpu")}
    assert sum(name.startswith("conv2d") for name in executed) >= 3
    monkeypatch.setattr(
        "toolkit.graph.precision.base.instruction_sets", lambda: frozenset({"avx512_bf16", "avx512_fp16"})
    )
    lowered = RUNTIMES["torch-compile"].load(small_artifact, precision="bf16")
    lowered.bind(SHAPE)
    result = run_compiled(lowered, noise(SHAPE))
    assert 1e-5 < np.abs(result - truth(small_artifact, noise(SHAPE))).max() < 0.2
    precisions = [node.precision for node in lowered.executed().values()]
    assert precisions.count("bf16") == len(precisions) - 1  # the result is float32 again


def test_a_program_runs_only_what_was_compiled(small_artifact: Artifact) -> None:
    program = CompiledProgram(frame_network(small_artifact), {})
    assert program.executed() == {}
    with pytest.raises(Unavailable, match="not compiled for a size"):
        program(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("name", ["torch-compile", *CUDA])
def test_precisions_the_device_does_not_compute_in(
    name: str, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.graph.precision.base.instruction_sets", frozenset)
    runtime = RUNTIMES[name]
    assert "no int8" in runtime.refusal(small_artifact, "int8")
    assert not runtime.refusal(small_artifact, "fp32")
    if name == "torch-compile":
        assert "this processor has no fp16" in runtime.refusal(small_artifact, "fp16")
        return
    monkeypatch.setattr(type(runtime), "probe", lambda self: Availability(True))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert not runtime.refusal(small_artifact, "fp16")
    assert "compute capability 8.0" in runtime.refusal(small_artifact, "bf16")


def test_a_missing_compiler_is_said(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(Unavailable, match="C\\+\\+ compiler, and there is no 'no-such-compiler'") as caught:
        toolkit.load_session(small_artifact, "torch-compile")
    assert "$CXX" in caught.value.remedy
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    assert "there is no 'g++'" in RUNTIMES["torch-compile"].probe().reason or sys.platform != "linux"
    monkeypatch.setenv("CXX", sys.executable)
    assert RUNTIMES["torch-compile"].probe().ok


def test_probing_does_not_import_inductor() -> None:
    code = """
import sys
from toolkit.runtimes.registry import RUNTIMES
for name in ("torch-compile", "torch-cuda", "torch-compile-cuda"):
    RUNTIMES[name].probe()
print(sorted({"torch._inductor.config", "torch._dynamo", "toolkit.runtimes.pytorch.program"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a shell script as compiler")
def test_what_the_compiler_complains_of_is_passed_on(small_artifact: Artifact, tmp_path: Path) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *--version*) exec g++ "$@";; esac\n'
        'printf "x.cpp: In function:\nx.cpp:1:1: fatal error: Python.h: no such file\n" >&2\nexit 1\n'
    )
    compiler.chmod(0o755)
    environment = os.environ | {"CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    code = f"""
import toolkit
session = toolkit.load_session({str(small_artifact.path)!r}, "torch-compile")
try:
    session.bind(toolkit.Shape(8, 8))
except toolkit.Unavailable as error:
    print(error.args[0])
"""
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert result.stdout.strip() == (
        f"torch.compile cannot compile {small_artifact.manifest.name}: x.cpp:1:1: fatal error: Python.h: no such file"
    ), result.stderr


@pytest.mark.parametrize("name", CUDA)
@pytest.mark.skipif(torch.version.cuda is not None, reason="this PyTorch has CUDA")
def test_a_pytorch_without_cuda_is_refused(
    name: str, small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where there is a GPU."""
    monkeypatch.setattr(torch_runtimes, "cuda_devices", lambda: (["a GPU"], ""))
    with pytest.raises(Unavailable, match="built without CUDA") as caught:
        toolkit.load_session(small_artifact, name)
    assert "CUDA build" in caught.value.remedy
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(Unavailable, match=r"CUDA 13\.0 does not start"):
        toolkit.load_session(small_artifact, name)


def test_float32_on_a_gpu_is_float32() -> None:
    """PyTorch computes float32 convolutions in TF32 unless told otherwise, in two generations of settings."""
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"
    try:
        torch_session.without_tf32()
        assert [switch.fp32_precision for switch in switches] == ["ieee", "ieee"]
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        assert not any(switch.allow_tf32 for switch in switches)  # which raises when the two disagree
    finally:
        torch.backends.cuda.matmul.fp32_precision = torch.backends.cudnn.fp32_precision = "none"
        torch.backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize("layout", [None, "NHWC"])
def test_frames_are_carried_to_the_device_and_back(
    layout: Literal["NHWC"] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The GPU session's own part, with the CPU's memory in the place of a GPU's."""

    class Stream:
        def synchronize(self) -> None: ...

    class Event:
        def record(self) -> None: ...

    artifact = export(checkpoint(), ExportOptions(uint8=layout), tmp_path)
    monkeypatch.setattr(torch_session, "_event", Event)
    monkeypatch.setattr(torch_session, "_pinned", lambda shape, kind: torch.zeros(shape, dtype=getattr(torch, kind)))
    monkeypatch.setattr(torch_session, "without_tf32", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    program = EagerProgram(frame_network(artifact))
    host = torch_session.TorchSession(artifact, program, 1)
    device = torch_session.TorchCudaSession(artifact, program, 1)
    for shape in (SHAPE, Shape(7, 9)):
        host.bind(shape)
        device.bind(shape)
        images = np.random.default_rng(0).integers(0, 256, (2, 1, *shape.sides, 3), np.uint8)
        for image in images:
            frame = image if layout else np.ascontiguousarray(image.transpose(0, 3, 1, 2) / np.float32(255))
            np.testing.assert_array_equal(device.run(frame), host.run(frame))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", CUDA)
def test_on_a_gpu(name: str, precision: toolkit.Precision, small_artifact: Artifact) -> None:
    runtime = RUNTIMES[name]
    available = runtime.probe()
    reason = available.reason if not available.ok else runtime.refusal(small_artifact, precision)
    if reason:
        pytest.skip(f"{name} {precision}: {reason}")
    session = runtime.load(small_artifact, precision=precision)
    bound = {"fp32": 1e-5, "fp16": 0.05, "bf16": 0.2}[precision]
    for shape in (SHAPE, Shape(7, 9), SHAPE):
        session.bind(shape)
        for frame in (noise(shape), 1 - noise(shape)):
            result = run_compiled(session, frame)
            np.testing.assert_allclose(result, truth(small_artifact, frame), rtol=0, atol=bound)
    assert session.device_seconds() > 0  # type: ignore[attr-defined]
    executed = session.executed().values()
    assert {node.device for node in executed} == {"cuda:0"}
    assert precision in {node.precision for node in executed}


@pytest.mark.gpu
@pytest.mark.parametrize("name", CUDA)
def test_uint8_images_on_a_gpu(name: str, tmp_path: Path) -> None:
    if not (available := RUNTIMES[name].probe()).ok:
        pytest.skip(f"{name}: {available.reason}")
    artifact = export(checkpoint(), ExportOptions(uint8="NHWC"), tmp_path)
    session = toolkit.load_session(artifact, name)
    session.bind(SHAPE)
    image = np.random.default_rng(0).integers(0, 256, (1, *SHAPE.sides, 3), np.uint8)
    result = run_compiled(session, image)
    exact = truth(artifact, image.transpose(0, 3, 1, 2) / 255).transpose(0, 2, 3, 1)
    assert np.abs(result - np.rint(exact.clip(0, 1) * 255)).max() <= 1
