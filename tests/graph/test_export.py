import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from samples import SMALL, checkpoint, needs_data, network, released, save_safetensors

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, CheckFailed, InputError
from toolkit.graph import pipeline
from toolkit.graph.any_size import without_size_check
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.source import source_checkpoint
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.checkpoint import Checkpoint
from toolkit.network.module import numpy_function
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape

EXPORT = """
import sys, toolkit
toolkit.export(toolkit.load_checkpoint(sys.argv[1]), directory=sys.argv[2])
"""


def test_two_processes_give_the_same_bytes(small_artifact: Artifact, tmp_path: Path) -> None:
    """This one, which has exported the network with other weights before (kept_traces.py), and one with other hashes
    in which the exporter traces these."""
    weights = save_safetensors(tmp_path / "weights.safetensors", network(seed=1))
    here, there = tmp_path / "here", tmp_path / "there"
    export(toolkit.load_checkpoint(weights), directory=here)
    there.mkdir()
    environment = os.environ | {"PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    command = [sys.executable, "-c", EXPORT, str(weights), str(there)]
    subprocess.run(command, check=True, env=environment, cwd=there)
    contents = [{path.name: path.read_bytes() for path in directory.iterdir()} for directory in (here, there)]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 3


def test_nothing_of_this_machine_is_inside(small_artifact: Artifact) -> None:
    home = str(Path(toolkit.__file__).parent)
    for path in (small_artifact.path, small_artifact.path.with_suffix(".json")):
        content = path.read_bytes()
        for trace in (b".py", b"File ", home.encode(), sys.prefix.encode(), str(small_artifact.path.parent).encode()):
            assert trace not in content, (path, trace)


def test_one_file_without_external_data(small_artifact: Artifact) -> None:
    model = onnx.load(small_artifact.path, load_external_data=False)
    assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
    onnx.checker.check_model(model, full_check=True)


def test_the_deploy_form(released_artifact: Artifact) -> None:
    """The dead branch, every shape computation and every norm scale are gone."""
    model = onnx.load(released_artifact.path)
    counts = {kind: [n.op_type for n in model.graph.node].count(kind) for kind in {n.op_type for n in model.graph.node}}
    assert counts == {
        "Conv": 7,
        "ReduceMean": 9,
        "Sub": 4,
        "Mul": 5 + 1,  # one in the size check, as Shape and Reshape
        "Add": 10,
        "Sqrt": 5,
        "Div": 5,
        "Gelu": 4,
        "Clip": 1,
        "DepthToSpace": 1,
        "Shape": 1,
        "Reshape": 1,
    }
    dims = [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == [1, 3, "height", "width"]
    head = next(node for node in model.graph.node if node.name == "head")
    assert list(next(a.ints for a in head.attribute if a.name == "kernel_shape")) == [6, 6]


def test_the_manifest_says_what_was_done(released_artifact: Artifact) -> None:
    manifest = released_artifact.manifest
    assert manifest.network.details.high_frequency is False
    assert "gamma is 0" in manifest.network.details.high_frequency_reason
    assert manifest.workload == {2: "1080p-4k", 3: "720p-4k"}[manifest.network.scale]
    assert (manifest.source.parameters, manifest.network.parameters) in ((129072, 39312), (142092, 52332))
    assert {"fusion: body.0.conv", "graph: torch.onnx.export", "graph: onnxsim"} <= {c.name for c in manifest.checks}
    assert all(check.passed and 0 < check.measured <= check.bound for check in manifest.checks)
    assert [step.nodes for step in manifest.steps] == [74, 74, 57, 52, 50, 50, 50, 51, 54]
    properties = {item.key: item.value for item in onnx.load(released_artifact.path).metadata_props}
    assert properties["rt4ksr.source_sha256"] == manifest.source.sha256
    assert properties["rt4ksr.precision"] == "fp32"


@pytest.mark.parametrize("opset", [18, 19, 21, 22, 23])
def test_opsets(opset: int, tmp_path: Path) -> None:
    source = checkpoint()
    artifact = export(source, ExportOptions(opset=opset), tmp_path)
    model = onnx.load(artifact.path)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert artifact.path.name == f"rt4ksr_x2_c6b2_fp32_opset{opset}.onnx"
    x = np.random.default_rng(0).random((1, 3, 8, 10), np.float32)
    (result,) = ReferenceEvaluator(model).run(None, {"input": x})
    np.testing.assert_allclose(result, numpy_function(source.network, "float64")(x).clip(0, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("opset", [17, 11, 26, 99])
def test_opsets_that_would_be_changed_silently_are_refused(opset: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="silently"):
        export(checkpoint(), ExportOptions(opset=opset), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_exporter_that_writes_another_opset_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", lambda *a, **k: original(*a, **(k | {"opset_version": 20})))
    with pytest.raises(InputError, match="writes opset 20 when asked for 21"):
        export(checkpoint(), ExportOptions(opset=21), tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_onnxsim(tmp_path: Path) -> None:
    artifact = export(checkpoint(), ExportOptions(simplify=False), tmp_path)
    assert "onnxsim" not in {step.name for step in artifact.manifest.steps}
    assert artifact.manifest.name.endswith("_unsimplified")


def test_a_simplifier_that_changes_the_function_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(model: onnx.ModelProto) -> onnx.ModelProto:
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        tensor = next(item for item in changed.graph.initializer if item.name == "tail.conv.bias")
        values = onnx.numpy_helper.to_array(tensor).copy()
        values[0] += 1e-3
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return changed

    monkeypatch.setattr(pipeline, "simplify", careless)
    with pytest.raises(CheckFailed, match="onnxsim changed the function") as caught:
        export(checkpoint(), directory=tmp_path)
    assert caught.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_a_simplifier_that_fixes_the_size_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxsim

    def overwriting(model: onnx.ModelProto, *_args, **_options):
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
        return model, True

    monkeypatch.setattr(onnxsim, "simplify", overwriting)
    with pytest.raises(CheckFailed, match="changed the model's inputs"):
        export(checkpoint(), directory=tmp_path)


@pytest.mark.parametrize("uint8", [None, "NCHW", "NHWC"])
def test_a_live_high_frequency_branch(uint8, tmp_path: Path) -> None:
    config = NetworkConfig(scale=3, channels=6, blocks=1, hidden=8, stem="gaussian")
    source = checkpoint(config)
    artifact = export(source, ExportOptions(uint8=uint8), tmp_path)
    assert artifact.manifest.network.details.high_frequency
    assert artifact.manifest.network.smallest == 4
    model = without_size_check(onnx.load(artifact.path))
    assert "Pad" in {node.op_type for node in model.graph.node}
    assert not {"Shape", "Reshape", "Gather"} & {node.op_type for node in model.graph.node}


def test_static_shapes_with_odd_sides(tmp_path: Path) -> None:
    source = checkpoint()
    artifact = export(source, ExportOptions(shape=Shape(31, 20), uint8="NHWC"), tmp_path)
    assert artifact.path.name == "rt4ksr_x2_c6b2_fp32_uint8-nhwc_20x31.onnx"
    assert artifact.manifest.input.shape == (1, 31, 20, 3)
    assert artifact.manifest.output.shape == (1, 62, 40, 3)
    x = np.random.default_rng(0).integers(0, 256, (1, 31, 20, 3), np.uint8)
    (result,) = ReferenceEvaluator(onnx.load(artifact.path)).run(None, {"input": x})
    truth = numpy_function(source.network, "float64")(x.transpose(0, 3, 1, 2) / 255).transpose(0, 2, 3, 1)
    assert np.abs(result - np.rint(truth.clip(0, 1) * 255)).max() <= 1


def test_the_workload_is_only_claimed_when_the_size_fits(tmp_path: Path) -> None:
    assert export(checkpoint(), ExportOptions(shape=Shape(1080, 1920)), tmp_path).manifest.workload == "1080p-4k"
    assert export(checkpoint(), ExportOptions(shape=Shape(720, 1280)), tmp_path).manifest.workload is None


@pytest.mark.parametrize(("scale", "workload"), [(1, "2160p-4k"), (4, "540p-4k"), (5, None)])
def test_other_scales(scale: int, workload: str | None, tmp_path: Path) -> None:
    source = checkpoint(replace(SMALL, scale=scale, blocks=1))
    artifact = export(source, directory=tmp_path)
    assert artifact.manifest.workload == workload
    x = np.random.default_rng(0).random((1, 3, 14, 22), np.float32)
    truth = numpy_function(source.network, "float64")(x).clip(0, 1)
    assert truth.shape == (1, 3, 14 * scale, 22 * scale)
    for runtime in ("ort-cpu", "openvino", "native"):
        session = Subject(artifact, runtime, 1).load()
        session.bind((14, 22))
        np.testing.assert_allclose(session.run(x), truth, atol=1e-5)


def test_two_checkpoints_can_share_a_directory(tmp_path: Path) -> None:
    first = export(checkpoint(seed=1), ExportOptions(name="first"), tmp_path)
    second = export(checkpoint(seed=2), ExportOptions(name="second"), tmp_path)
    assert source_checkpoint(first).network.head.weight.equal(checkpoint(seed=1).network.head.weight)
    assert source_checkpoint(second).network.head.weight.equal(checkpoint(seed=2).network.head.weight)
    assert [found.manifest.name for found in toolkit.find_artifacts(tmp_path)] == ["first_fp32", "second_fp32"]


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\nb", "\udcff"])
def test_names_that_are_paths_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="plain file name"):
        export(checkpoint(), ExportOptions(name=name), tmp_path)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        export(checkpoint(), directory=blocked)


@pytest.fixture
def copied(small_artifact: Artifact, tmp_path: Path) -> Artifact:
    """An artifact that a test may damage."""
    shutil.copytree(small_artifact.path.parent, tmp_path / "copied")
    return Artifact.read(tmp_path / "copied" / small_artifact.path.name)


def test_an_edited_model_is_refused(copied: Artifact) -> None:
    content = bytearray(copied.path.read_bytes())
    content[len(content) // 2] ^= 1
    copied.path.write_bytes(content)
    with pytest.raises(ArtifactError, match="does not match its manifest"):
        Artifact.read(copied.path)


def test_edited_source_weights_are_refused(copied: Artifact) -> None:
    copied.weights_path.write_bytes(copied.weights_path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="edited"):
        copied.read_weights()
    copied.weights_path.unlink()
    with pytest.raises(ArtifactError, match="missing"):
        copied.read_weights()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "not a manifest"),
        (lambda text: text.replace('"schema": 2', '"schema": 99'), "schema 99"),
        (lambda text: "[]", "not a manifest"),
        (lambda text: text.replace('"passed": true', '"passed": false', 1), "not a manifest"),
        (lambda text: text.replace('"weights": "', '"weights": "../'), "plain file name"),
        (lambda text: text.replace('"shape": null', '"shape": [-1, 0]'), "-1 is not between 1 and 65536"),
        (lambda text: json.dumps({"schema": 1}), "not a manifest"),
        (lambda text: text.replace('"precision": "fp32"', '"precision": "fp99"'), "not a manifest"),
    ],
)
def test_a_broken_manifest_is_refused(change, message: str, copied: Artifact) -> None:
    path = copied.path.with_suffix(".json")
    path.write_text(change(path.read_text()))
    with pytest.raises(ArtifactError, match=message):
        Artifact.read(path)


@pytest.mark.parametrize("name", ["missing.onnx", "model.txt"])
def test_no_artifact_at_all(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        Artifact.read(tmp_path / name)


def test_a_manifest_without_its_model(copied: Artifact) -> None:
    copied.path.unlink()
    with pytest.raises(ArtifactError, match="no file"):
        Artifact.read(copied.path.with_suffix(".json"))


def test_a_deep_network_may_round_as_float32_does(tmp_path: Path) -> None:
    """With 16 blocks float32 is 9 times further from float64 than with 4; that is no fault of the export."""
    source = checkpoint(NetworkConfig(channels=12, blocks=16, hidden=24))
    checks = export(source, directory=tmp_path).manifest.checks
    assert {check.bound for check in checks if check.kind == "graph"} == {1e-11}
    assert all(check.measured < 1e-12 for check in checks if check.kind == "graph")
    arithmetic = next(check for check in checks if check.kind == "float32 arithmetic")
    assert 1e-6 < arithmetic.measured < arithmetic.bound / 4


def test_a_simplifier_that_changes_the_last_digits_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight off by 1e-6 of itself: far below what any CPU's float32 shows."""

    def careless(model: onnx.ModelProto) -> onnx.ModelProto:
        return with_changed_constant(model, "body.1.conv.weight", one_part_in_a_million)

    monkeypatch.setattr(pipeline, "simplify", careless)
    with pytest.raises(CheckFailed, match="onnxsim changed the function"):
        export(checkpoint(), directory=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("uint8", [None, "NHWC"])
def test_constants_that_are_cut_off_and_not_rounded_are_caught(
    uint8, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is then up to a whole unit in the last place off, and the mean error is 1e-7."""
    rounded = pipeline.in_float32

    def towards_zero(model: onnx.ModelProto) -> onnx.ModelProto:
        return rounded(with_changed_constant(model, "head.weight", cut_off))

    monkeypatch.setattr(pipeline, "in_float32", towards_zero)
    with pytest.raises(CheckFailed, match="stored constants: float32 graph is"):
        export(checkpoint(), ExportOptions(uint8=uint8), tmp_path)


def test_a_half_precision_graph_is_beyond_what_float32_may_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is wide, and yet no other arithmetic passes for float32: here every tensor keeps 11 bits."""
    run = pipeline.Probes.float32_error
    monkeypatch.setattr(pipeline.Probes, "float32_error", lambda self, model, *ends: run(self, halved(model), *ends))
    with pytest.raises(CheckFailed, match="float32 arithmetic: ONNX reference implementation is"):
        export(checkpoint(), directory=tmp_path)


def one_part_in_a_million(values: np.ndarray) -> np.ndarray:
    values.flat[3] *= 1 + 1e-6
    return values


def cut_off(values: np.ndarray) -> np.ndarray:
    stored = values.astype(np.float32)
    return np.where(np.abs(stored) > np.abs(values), np.nextafter(stored, np.float32(0)), stored).astype(np.float64)


def with_changed_constant(
    model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    tensor = next(item for item in made.graph.initializer if item.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(tensor).copy()), name))
    return made


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the result of every convolution rounded to half precision."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.node[:]
    for node in model.graph.node:
        added = made.graph.node.add()
        added.CopyFrom(node)
        if node.op_type == "Conv":
            (name,) = node.output
            added.output[0] = f"{name}.whole"
            for given, returned, dtype in (("whole", "half", "FLOAT16"), ("half", "", "FLOAT")):
                target = onnx.TensorProto.DataType.Value(dtype)
                ends = [f"{name}.{given}"], [f"{name}.{returned}".rstrip(".")]
                made.graph.node.append(onnx.helper.make_node("Cast", *ends, to=target))
    return made


@needs_data
def test_a_live_released_branch_exports_within_the_bound(tmp_path: Path) -> None:
    source: Checkpoint = toolkit.load_checkpoint(released(2), high_frequency="on")
    artifact = export(source, directory=tmp_path)
    assert artifact.manifest.network.details.high_frequency_reason == "--high-frequency on"
    assert len([check for check in artifact.manifest.checks if check.kind == "fusion"]) == 6
