"""Graphs that end the process which loads them end a process of their own instead."""

import hashlib
import math
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from samples import rewrite_engine

from toolkit.artifact import Artifact, encode
from toolkit.errors import ArtifactError
from toolkit.graph import reading
from toolkit.graph.reading import dangerous, read_model
from toolkit.runtimes import rehearsal
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.registry import build
from toolkit.runtimes.subject import load_session
from toolkit.system import isolated
from toolkit.system import trust as sound
from toolkit.system.isolated import run_isolated
from toolkit.workloads import Shape


@pytest.fixture(autouse=True)
def strange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sound, "_known", set())


def stranger(
    directory: Path, base: Artifact, nodes: Sequence[onnx.NodeProto], weights: Sequence[onnx.TensorProto] = ()
) -> Artifact:
    """An artifact whose manifest says that all is well."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, *sides))
        for name, sides in (("input", ("h", "w")), ("output", ("H", "W")))
    ]
    graph = helper.make_graph(nodes, "strange", ends[:1], ends[1:], list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return written(directory, base, model.SerializeToString())


def written(directory: Path, base: Artifact, content: bytes) -> Artifact:
    directory.mkdir(exist_ok=True)
    path = directory / "strange.onnx"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    manifest = msgspec.structs.replace(base.manifest, name="strange", onnx_sha256=digest, onnx_bytes=len(content))
    path.with_suffix(".json").write_bytes(encode(manifest))
    return Artifact.read(path)


def weight(name: str, *sides: int) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, sides, [0.1] * math.prod(sides))


DEPTH = helper.make_node("DepthToSpace", ["a"], ["output"], blocksize=3_037_000_500)
CONV = helper.make_node("Conv", ["input", "w"], ["a"])
GRAPHS = {
    "overflowing block size": ([CONV, DEPTH], [weight("w", 12, 3, 1, 1)]),
    "zero strides": ([helper.make_node("MaxPool", ["input"], ["output"], kernel_shape=[1, 1], strides=[0, 0])], []),
    "no groups": ([helper.make_node("Conv", ["input", "w"], ["output"], group=0)], [weight("w", 3, 3, 1, 1)]),
    "huge kernel": ([helper.make_node("AveragePool", ["input"], ["output"], kernel_shape=[1 << 40, 1 << 40])], []),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_graphs_that_libraries_crash_on_are_errors(kind: str, small_artifact: Artifact, tmp_path: Path) -> None:
    artifact = stranger(tmp_path / "a", small_artifact, *GRAPHS[kind])
    with pytest.raises(ArtifactError, match="strange"):
        session = load_session(artifact, "ort-cpu")
        session.bind(Shape(16, 16))
        session.run(np.zeros((1, 3, 16, 16), np.float32))


def test_a_graph_that_crashes_its_process_is_an_error_that_names_the_file(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = written(tmp_path / "a", small_artifact, small_artifact.path.read_bytes())
    crash = ["-c", "import ctypes; ctypes.string_at(0)"]
    for module in (reading, rehearsal):
        monkeypatch.setattr(module, "run_isolated", lambda _, given=b"", **limits: run_isolated(crash, given, **limits))
    with pytest.raises(ArtifactError, match=r"strange\.onnx is dangerous: reading it crashed a process \(SIGSEGV\)"):
        read_model(artifact.path)
    with pytest.raises(ArtifactError, match=r"loading it with ort-cpu crashed a process \(SIGSEGV\)"):
        load_session(artifact, "ort-cpu")


def test_chains_of_functions_are_refused_before_they_are_expanded(small_artifact: Artifact, tmp_path: Path) -> None:
    """Two calls in each of 30 functions are a billion nodes."""
    functions = [
        helper.make_function(
            "f",
            f"F{number}",
            ["x"],
            ["y"],
            [
                helper.make_node(f"F{number + 1}", ["x"], ["t"], domain="f"),
                helper.make_node(f"F{number + 1}", ["t"], ["y"], domain="f"),
            ],
            [helper.make_opsetid("f", 1)],
        )
        for number in range(30)
    ]
    model = onnx.load(small_artifact.path)
    model.functions.extend(functions)
    with pytest.raises(ArtifactError, match="it defines functions"):
        read_model(written(tmp_path / "a", small_artifact, model.SerializeToString()).path)


def test_loops_are_refused_unrun(small_artifact: Artifact, tmp_path: Path) -> None:
    """A body that runs 2**40 times: loading it is harmless, a frame never ends."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["again"], ["go"]), helper.make_node("Identity", ["x"], ["y"])],
        "body",
        [value("i", TensorProto.INT64, []), value("again", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, None)],
        [value("go", TensorProto.BOOL, []), value("y", TensorProto.FLOAT, None)],
    )
    weights = [
        helper.make_tensor("times", TensorProto.INT64, [], [1 << 40]),
        helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
    ]
    loop = helper.make_node("Loop", ["times", "yes", "input"], ["output"], body=body)
    with pytest.raises(ArtifactError, match="subgraphs"):
        read_model(stranger(tmp_path / "a", small_artifact, [loop], weights).path)


def test_weights_in_other_files_are_refused(small_artifact: Artifact, tmp_path: Path) -> None:
    model = onnx.load(small_artifact.path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    with pytest.raises(ArtifactError, match="weights in other files"):
        read_model(written(tmp_path / "a", small_artifact, model.SerializeToString()).path)


def test_a_strange_graph_is_rehearsed_once(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def counted(arguments: Sequence[str], *rest: object, **limits: object) -> isolated.Ended:
        runs.append(arguments)
        return run_isolated(arguments, *rest, **limits)

    for module in (reading, rehearsal):
        monkeypatch.setattr(module, "run_isolated", counted)
    artifact = written(tmp_path / "a", small_artifact, small_artifact.path.read_bytes())
    load_session(artifact, "ort-cpu")
    assert len(runs) == 1
    load_session(artifact, "ort-cpu")
    read_model(artifact.path)
    assert len(runs) == 1
    monkeypatch.setattr(sound, "_known", set())  # as another process, which has the cache
    load_session(artifact, "ort-cpu")
    assert len(runs) == 1


def test_what_is_written_here_is_not_rehearsed(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.graph.precision.convert import convert

    sound.remember(small_artifact.manifest.onnx_sha256, sound.WRITTEN_HERE)
    rehearsed: list[str] = []

    def counted(arguments: Sequence[str], *_: object, **__: object) -> isolated.Ended:
        rehearsed.append(" ".join(arguments))
        return isolated.Ended("crashed", "", "SIGSEGV")

    for module in (reading, rehearsal):
        monkeypatch.setattr(module, "run_isolated", counted)
    lowered = convert(small_artifact, "fp16", directory=tmp_path)
    frame = np.random.default_rng(0).random((1, 3, 8, 8), np.float32)
    results = []
    for session in (load_session(lowered, "ort-cpu"), load_session(build(lowered, "ort-cpu").engine)):
        session.bind(Shape(8, 8))
        results.append(session.run(frame).copy())
    assert rehearsed == []
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)
    # The same graph is rehearsed once it counts as a stranger's.
    monkeypatch.setattr(sound, "was_written_here", lambda _: False)
    monkeypatch.setattr(sound, "_known", set())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    with pytest.raises(ArtifactError, match="SIGSEGV"):
        load_session(lowered, "ort-cpu")
    assert len(rehearsed) == 1


def test_what_is_converted_from_a_strange_graph_is_strange_too(small_artifact: Artifact, tmp_path: Path) -> None:
    from toolkit.graph.precision.convert import convert

    directory = tmp_path / "a"
    artifact = written(directory, small_artifact, small_artifact.path.read_bytes())
    (directory / artifact.manifest.source.weights).write_bytes(small_artifact.weights_path.read_bytes())
    msgspec.structs.replace(artifact.manifest, name="strange_fp32")
    lowered = convert(artifact, "fp16", directory=tmp_path / "b")
    assert not sound.was_written_here(lowered.manifest.onnx_sha256)


def test_an_engine_that_was_not_built_here_is_rehearsed(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build(small_artifact, "ort-cpu", directory=tmp_path).engine
    rewrite_engine(engine.path, lambda info: info["machine"].update(processor="another"))
    monkeypatch.setattr(rehearsal, "run_isolated", lambda *_, **__: isolated.Ended("crashed", "", "SIGSEGV"))
    with pytest.raises(
        ArtifactError, match=r"engine is dangerous: loading it with ort-cpu crashed a process \(SIGSEGV"
    ):
        load_session(engine.path)
    assert Engine.read(engine.path).info.machine["processor"] == "another"


@pytest.mark.parametrize("end", ["late", "large"])
def test_exceeding_a_limit_is_not_called_a_crash(end: isolated.End) -> None:
    error = dangerous(Path("a.onnx"), "adopting it", isolated.Ended(end, "", "it did not answer within 5 s"))
    assert error.args[0] == "a.onnx takes too much: adopting it was stopped (it did not answer within 5 s)"


def test_limits_end_a_process_and_all_that_it_started() -> None:
    grow = "data = bytearray(400 << 20); import time; time.sleep(60)"
    begin = time.monotonic()
    ended = run_isolated(["-c", grow], seconds=60, memory=200 << 20)
    assert ended.end == "large"
    assert "0.2 GiB are allowed" in ended.reason
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grow!r}])"
    assert run_isolated(["-c", nested], seconds=60, memory=200 << 20).end == "large"
    assert run_isolated(["-c", "import time; time.sleep(60)"], seconds=0.3, memory=1 << 30).end == "late"
    assert time.monotonic() - begin < 50


def test_modules_in_the_working_directory_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of strangers may hold a `numpy.py`."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    assert run_isolated(["-c", "import numpy"], seconds=60).end == "done"
