"""One subject for checkpoints, artifacts and engines: what it is called, what it takes, and what it computes."""

import pickle
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from samples import checkpoint, network, save_safetensors

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.precision.convert import convert
from toolkit.kinds import split_runtime
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build
from toolkit.runtimes.subject import Subject, load_session
from toolkit.workloads import Shape

SHAPE = Shape(9, 14)
FRAME = np.random.default_rng(3).random((1, 3, 9, 14), np.float32)


@pytest.fixture
def engine(small_artifact: Artifact, tmp_path: Path) -> Engine:
    return build(small_artifact, "openvino", BuildOptions(shape=Shape(8, 16)), tmp_path).engine


def upscaled(subject: Subject) -> np.ndarray:
    session = subject.load()
    session.bind(SHAPE)
    return np.array(session.run(FRAME))


def truth() -> np.ndarray:
    """The small network in float64, by PyTorch itself."""
    with torch.inference_mode():
        return network().double()(torch.from_numpy(FRAME).double()).numpy()


@pytest.mark.parametrize(
    ("runtime", "bound"), [("torch-unfused", 1e-5), ("torch", 1e-5), ("float64", 1e-15), ("ort-cpu", 1e-5)]
)
def test_all_sources_compute_the_same_network(runtime: str, bound: float, small_artifact: Artifact) -> None:
    source = small_artifact if runtime == "ort-cpu" else checkpoint()
    result = upscaled(Subject(source, runtime, threads=1))
    assert result.dtype == (np.float64 if runtime == "float64" else np.float32)
    expected = truth().clip(0, 1) if runtime == "ort-cpu" else truth()
    np.testing.assert_allclose(result, expected, rtol=0, atol=bound, err_msg="an artifact limits its output")


def test_checkpoints_run_where_torch_runs_them() -> None:
    assert Subject.of(checkpoint()).runtime == "torch-unfused"
    with pytest.raises(InputError, match="openvino does not run checkpoints") as caught:
        Subject(checkpoint(), "openvino")
    assert caught.value.remedy == "Choose from torch-unfused, torch, float64, or export it first."
    subject = Subject(checkpoint(), "torch")
    assert (subject.manifest, subject.artifact, subject.engine, subject.graph, subject.origin) == (None,) * 5
    assert (subject.precision, subject.scale, subject.fixed) == ("fp32", 2, None)
    assert {node.precision for node in subject.load().executed().values()} == {"fp32"}


def test_weights_are_shared_by_checkpoint_and_artifact(small_artifact: Artifact, engine: Engine) -> None:
    subjects = Subject.of(checkpoint()), Subject(small_artifact, "ort-cpu"), Subject.of(engine)
    assert len({subject.weights for subject in subjects}) == 1


def test_an_engine_has_its_own_runtime_and_size(engine: Engine, small_artifact: Artifact) -> None:
    subject = Subject.parse(str(engine.path))
    assert subject.label == f"{engine.path.name} on openvino"
    assert subject.fixed == Shape(8, 16)
    assert subject.obstacle == ""
    assert subject.origin is None
    Artifact.write(
        engine.path.parent,
        small_artifact.path.read_bytes(),
        small_artifact.manifest,
        small_artifact.weights_path.read_bytes(),
    )
    found = Subject.of(engine).origin
    assert found is not None
    assert found.manifest == small_artifact.manifest
    for given in (f"{engine.path}@ort-cpu", engine):
        with pytest.raises(InputError, match="is an engine for openvino, not for ort-cpu"):
            load_session(given, "ort-cpu")


def test_a_path_is_split_at_its_last_at_sign(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "a@torch", network())
    assert split_runtime(path) == (path, None)
    assert split_runtime(f"{path}@float64") == (path, "float64")
    assert split_runtime("b.onnx") == (Path("b.onnx"), None)
    assert Subject.parse(f"{path}@float64").runtime == "float64"


def test_the_default_is_for_artifacts_alone(small_artifact: Artifact, engine: Engine, tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "w.safetensors", network())
    assert Subject.parse(small_artifact.path, "ort-cpu").runtime == "ort-cpu"
    assert Subject.parse(f"{small_artifact.path}@torch", "ort-cpu").runtime == "torch"
    assert Subject.parse(engine.path, "ort-cpu").runtime == "openvino"
    assert Subject.parse(path, "ort-cpu").runtime == "torch-unfused"
    with pytest.raises(InputError, match="is not an artifact or an engine bundle"):
        Subject.parse(path, accepted=("artifact", "engine"))


def test_pytorch_lowers_the_weights_itself(small_artifact: Artifact, tmp_path: Path) -> None:
    fp16 = convert(small_artifact, "fp16", directory=tmp_path)
    (tmp_path / small_artifact.weights_path.name).write_bytes(small_artifact.weights_path.read_bytes())
    source = Subject(fp16, "torch", lowered_to="fp32")
    assert source.from_weights
    assert source.precision == "fp32"
    np.testing.assert_allclose(upscaled(source), truth().clip(0, 1), rtol=0, atol=1e-5)
    assert not Subject(fp16, "ort-cpu", lowered_to="fp16").from_weights


def test_what_is_against_running(small_artifact: Artifact) -> None:
    assert Subject(small_artifact, "ort-cpu").obstacle == ""
    assert "a precision is a property of the artifact" in Subject(small_artifact, "ort-cpu", lowered_to="bf16").obstacle
    fused = msgspec.structs.replace(
        small_artifact.manifest, source=msgspec.structs.replace(small_artifact.manifest.source, merged=True)
    )
    assert "already fused" in Subject(Artifact(small_artifact.path, fused), "torch-unfused").obstacle


def test_subjects_travel_to_other_processes(small_artifact: Artifact, engine: Engine) -> None:
    for subject in (Subject(small_artifact, "ort-cpu", 2), Subject.of(engine)):
        _ = subject.contract, subject.weights
        assert pickle.loads(pickle.dumps(subject)) == subject
        assert replace(subject, threads=3).label == subject.label
