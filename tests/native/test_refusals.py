"""Graphs that the native engine does not support are refused, with the name of the node and the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from native.graphs import Builder, artifact
from native.running import Native

import toolkit
from toolkit.artifact import Artifact
from toolkit.checks import Limits, Spent, Verdict
from toolkit.errors import InputError, Unavailable
from toolkit.native import compiler
from toolkit.native.planner import plan
from toolkit.native.program import Unsupported
from toolkit.native.targets import find_target
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import RUNTIMES, default_runtime
from toolkit.system.probe import Availability
from toolkit.workloads import Shape


def finished(b: Builder, x: str) -> onnx.ModelProto:
    return b.model(b.node("DepthToSpace", b.conv(x, 4, 12, 3), blocksize=2, mode="CRD"))


def attention(b: Builder, x: str) -> str:
    return b.node("Mul", x, b.node("GlobalAveragePool", x))


def mean(b: Builder, x: str) -> str:
    return b.node("Sub", x, b.node("ReduceMean", x, b.constant(np.array([2, 3]))))


def grouped(b: Builder, x: str) -> str:
    return b.conv(x, 4, 4, 3, group=2)


def shrinking(b: Builder, x: str) -> str:
    weight = b.constant(b.uniform(4, 4, 3, 3))
    return b.node("Conv", x, weight)


def softmax(b: Builder, x: str) -> str:
    return b.node("Softmax", x, axis=1)


def quotient(b: Builder, x: str) -> str:
    return b.node("Div", x, b.node("Sigmoid", x))


def narrow_gate(b: Builder, x: str) -> str:
    return b.node("Mul", x, b.node("Sigmoid", b.conv(x, 4, 1, 3)))


def below(b: Builder, x: str) -> str:
    return b.node("Concat", x, x, axis=2)


def resolutions(b: Builder, x: str) -> str:
    return b.node("Concat", x, b.enlarged(x, 2), axis=1)


def computed_slope(b: Builder, x: str) -> str:
    return b.node("PRelu", x, b.node("Relu", x))


def distant_pixels(b: Builder, x: str) -> str:
    return b.conv(x, 4, 4, 5, stride=5)


def half(b: Builder, x: str) -> str:
    return b.node("Conv", x, b.constant(b.uniform(4, 4, 3, 3).astype(np.float16)), pads=[1] * 4)


def bilinear(b: Builder, x: str) -> str:
    return b.node("Resize", x, "", b.constant(np.array([1, 1, 2, 2], np.float32)), mode="linear")


@pytest.mark.parametrize(
    ("graph", "node", "reason"),
    [
        (attention, "n1 (GlobalAveragePool)", "needs the whole frame"),
        (mean, "n1 (ReduceMean)", "needs the whole frame"),
        (grouped, "n1 (Conv)", "2 groups"),
        (shrinking, "n1 (Conv)", "changes the size"),
        (softmax, "n1 (Softmax)", "does not implement"),
        (quotient, "n2 (Div)", "the divisor must be constant"),
        (narrow_gate, "n3 (Mul)", "different sizes"),
        (below, "n1 (Concat)", "another axis than the channels"),
        (resolutions, "n2 (Concat)", "different sizes"),
        (computed_slope, "n2 (PRelu)", "slope that is not constant"),
        (distant_pixels, "n1 (Conv)", "factors up to 4"),
        (half, "n1 (Conv)", "float16"),
        (bilinear, "n1 (Resize)", "not a nearest-neighbour upsampling"),
    ],
)
def test_nodes(
    graph: Callable[[Builder, str], str], node: str, reason: str, small_artifact: Artifact, tmp_path: Path
) -> None:
    b = Builder(0)
    made = artifact(finished(b, graph(b, b.conv("input", 3, 4, 3))), small_artifact, tmp_path, 2)
    with pytest.raises(Unsupported) as caught:
        plan(made.path, made.manifest)
    assert f"node {node} " in str(caught.value)
    assert reason in str(caught.value)
    with pytest.raises(Unavailable, match="native cannot run graph_x2 in fp32: node") as refused:
        toolkit.load_session(made, "native")
    assert refused.value.exit_code == 3


def test_unordinary_ends(small_artifact: Artifact, tmp_path: Path) -> None:
    b = Builder(0)
    blocks = b.model(b.node("DepthToSpace", b.conv("input", 3, 12, 3), blocksize=2, mode="DCR"))
    made = artifact(blocks, small_artifact, tmp_path, 2)
    with pytest.raises(Unsupported, match=r"node n1 \(DepthToSpace\) has mode DCR"):
        plan(made.path, made.manifest)


def test_fp16_artifacts(small_artifact: Artifact, tmp_path: Path) -> None:
    made = toolkit.convert(small_artifact, "fp16", directory=tmp_path)
    with pytest.raises(Unavailable, match="it computes in fp32, bf16 and int8"):
        toolkit.load_session(made, "native")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BuildOptions(target=("x86-64-v9",)), "there is no target 'x86-64-v9'"),
        (BuildOptions(target=("scalar", "x86-64-v9")), "there is no target 'x86-64-v9'"),
        (BuildOptions(shape=Shape(8, 8)), "takes every size"),
        (BuildOptions(tf32=True), "no option tf32"),
    ],
)
def test_options(options: BuildOptions, message: str, small_artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        toolkit.build(small_artifact, "native", options, tmp_path)


def test_the_default_on_cpus(small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """native, but not where it cannot, or where a verdict says that it overspends."""
    assert default_runtime(small_artifact) == "native"
    b = Builder(0)
    refused = artifact(finished(b, softmax(b, b.conv("input", 3, 4, 3))), small_artifact, tmp_path, 2)
    assert default_runtime(refused) == "ort-cpu"
    for runtime, chosen in (("native", "ort-cpu"), ("openvino", "native")):
        verdict = Verdict.of(runtime, "Set5", 5, Spent(0.2, 0.2, 1.0), Limits(0.1, 0.3, 4.0))
        manifest = msgspec.structs.replace(small_artifact.manifest, verdicts=(verdict,))
        assert default_runtime(Artifact(small_artifact.path, manifest)) == chosen
    monkeypatch.setattr(type(RUNTIMES["native"]), "probe", lambda self: Availability(False))
    assert default_runtime(small_artifact) == "ort-cpu"


def test_no_compiler(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    found = RUNTIMES["native"].probe()
    assert not found.ok
    assert "apt install g++ (Debian, Ubuntu), conda install gxx, or brew install gcc" in found.remedy
    with pytest.raises(Unavailable, match=r"no C\+\+ compiler"):
        toolkit.load_session(small_artifact, "native")


def test_a_compiler_that_fails(native: Callable[..., Native], tmp_path: Path) -> None:
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\necho 'engine.cpp:1: error: it is Tuesday' >&2; exit 1\n")
    broken.chmod(0o755)
    b = Builder(0)
    network = native(b.model(b.node("DepthToSpace", b.conv("input", 3, 12, 3), blocksize=2, mode="CRD")))
    target = find_target("scalar")
    files = compiler.sources(network.program, network.artifact.manifest, target)
    with pytest.raises(Unavailable, match=r"cannot compile for scalar.*it is Tuesday"):
        compiler.compile_library(compiler.Compiler(str(broken), "c++ 0"), files, target, tmp_path)
