"""`compare`: numbers against their definitions, and a planted fault that must be found."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from samples import DATA, checkpoint, needs_data, network, released, save_safetensors, small_preset

from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, InputError, Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import build
from toolkit.runtimes.subject import Subject
from toolkit.verification import comparison
from toolkit.verification.comparison import compare
from toolkit.verification.inputs import TestInput, real_images
from toolkit.verification.layers import compare_layers, plot_layers
from toolkit.verification.polygraphy import polygraphy_script
from toolkit.workloads import Shape


def planted(artifact: Artifact, directory: Path, node: str, factor: float = 1.01) -> Path:
    """A copy of an artifact with one weight of one node changed, its manifest left as it was."""
    model = onnx.load(artifact.path)
    weight = next(node_.input[1] for node_ in model.graph.node if node_.name == node)
    tensor = next(item for item in model.graph.initializer if item.name == weight)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[np.abs(values).argmax()] *= factor
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, weight))
    onnx.save(model, directory / artifact.path.name)
    for name in (artifact.path.with_suffix(".json"), artifact.weights_path):
        (directory / name.name).write_bytes(name.read_bytes())
    return directory / artifact.path.name


@pytest.mark.parametrize("node", ["head", "body.1.conv", "tail.conv", "upsample"])
def test_a_planted_fault_is_located(node: str, small_artifact: Artifact, tmp_path: Path) -> None:
    broken = planted(small_artifact, tmp_path, node)
    with pytest.raises(ArtifactError, match="does not match its manifest"):
        Subject.parse(str(broken))
    report = compare_layers(Subject(small_artifact, "reference"), Subject.parse(str(broken), "ort-cpu", edited=True))
    assert report.culprit == node
    assert not report.passed
    before = [layer for layer in report.layers if layer.name != node][: [x.name for x in report.layers].index(node)]
    assert all(layer.relative < 1e-5 for layer in before)


@pytest.mark.slow
@needs_data
def test_a_fault_of_a_hundredth_in_the_released_network(released_artifact: Artifact, tmp_path: Path) -> None:
    """Two runtimes in float32 are 1e-5 apart, here or on another CPU a little more: the bound is ten times that."""
    broken = planted(released_artifact, tmp_path, "body.2.conv", 1.01)
    report = compare_layers(
        Subject(released_artifact, "ort-cpu"), Subject.parse(f"{broken}@openvino", edited=True), bound=1e-4
    )
    assert report.culprit == "body.2.conv"


@pytest.mark.parametrize("pair", [("ort-cpu", "openvino"), ("reference", "ort-cpu")])
def test_nothing_is_found_where_nothing_is_wrong(pair: tuple[str, str], small_artifact: Artifact) -> None:
    report = compare_layers(Subject(small_artifact, pair[0]), Subject(small_artifact, pair[1]))
    assert report.passed
    names = [layer.name for layer in report.layers]
    assert {"head", "body.0.norm.sqrt", "body.1.gelu", "tail.conv", "upsample", "output"} <= set(names)
    assert names.index("head") < names.index("body.0.conv") < names.index("output")


def test_precisions_and_other_ends_are_matched_by_name(small_artifact: Artifact, tmp_path: Path) -> None:
    bf16 = convert(small_artifact, "bf16", directory=tmp_path)
    report = compare_layers(Subject(small_artifact, "reference"), Subject(bf16, "reference"))
    assert report.culprit is not None  # bf16 is further off than the bound
    assert all(layer.relative < 0.1 for layer in report.layers)
    images = export(checkpoint(), ExportOptions(uint8="NHWC"), tmp_path)
    report = compare_layers(Subject(images, "ort-cpu"), Subject(small_artifact, "ort-cpu"), bound=1e-2)
    assert "body.0.conv" in {layer.name for layer in report.layers}
    assert "output.round" in report.unmatched


def test_a_plot(small_artifact: Artifact, tmp_path: Path) -> None:
    report = compare_layers(Subject(small_artifact, "ort-cpu"), Subject(small_artifact, "openvino"))
    plot_layers(report, tmp_path / "p.svg")
    assert "body.0.conv" in (tmp_path / "p.svg").read_text()
    with pytest.raises(InputError, match="cannot write"):
        plot_layers(report, tmp_path / "p.xyz")


def test_engines_show_what_they_did_not_fuse_away(small_artifact: Artifact, tmp_path: Path) -> None:
    engine = build(small_artifact, "ort-cpu", BuildOptions(shape=Shape(8, 8)), tmp_path).engine
    report = compare_layers(Subject(small_artifact, "ort-cpu"), Subject(engine, "ort-cpu"))
    assert report.passed
    assert {"output.clamp", "output", "tail.norm.sqrt"} <= {layer.name for layer in report.layers}
    assert set(report.unmatched) | {layer.name for layer in report.layers} >= {"body.0.conv", "tail.conv"}


def test_layers_of_what_has_none(small_artifact: Artifact, tmp_path: Path) -> None:
    engine = build(small_artifact, "openvino", BuildOptions(shape=Shape(8, 8)), tmp_path).engine
    mine = Subject(small_artifact, "ort-cpu")
    for other in (Subject(engine, "openvino"), Subject(checkpoint(), "torch")):
        with pytest.raises(InputError, match="are not accessible"):
            compare_layers(mine, other)
    with pytest.raises(InputError, match="cannot return the tensors inside"):
        compare_layers(mine, Subject(small_artifact, "tensorrt"))
    bf16 = convert(small_artifact, "bf16", directory=tmp_path)
    with pytest.raises(Unavailable, match="ort-cpu cannot run this graph"):
        compare_layers(mine, Subject(bf16, "ort-cpu"))


# Whole subjects


def test_numbers_are_what_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two made-up subjects whose difference is known."""
    a = np.full((1, 3, 40, 60), 0.5, np.float32)
    b = a.copy()
    b[0, 1, 20, 30] += 0.25
    b[0, 0, 2, 3] = np.nextafter(np.nextafter(np.float32(0.5), np.float32(1)), np.float32(1))
    results = iter([a, b])
    monkeypatch.setattr(comparison, "image_function", lambda subject, threads=0: lambda image: next(results))
    sides = Subject(checkpoint(), "torch"), Subject(checkpoint(), "torch-unfused")
    monkeypatch.setattr(comparison, "synthetic_inputs", lambda shape: [])
    image = TestInput("x", np.zeros((1, 3, 20, 30), np.float32))
    (item,) = compare(*sides, [image], steadiness=False).inputs
    assert item.largest == 0.25
    assert item.worst == (20, 30)
    assert not item.at_border
    assert item.mean == pytest.approx(0.25 / a.size, rel=1e-3)
    assert item.psnr == pytest.approx(10 * np.log10(a.size / 0.25**2), abs=1e-4)
    assert item.ulp == 0.25 / 2**-24 / 1  # steps of 2^-24 from 0.5 up to 0.75
    assert item.grey_levels == 191 - 128
    assert item.differing == pytest.approx(1 / a.size)


def test_what_is_not_finite_is_not_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    a = np.full((1, 3, 8, 8), 0.5, np.float32)
    b = a.copy()
    b[0, 0, 5, 6] = np.nan
    results = iter([a, b])
    monkeypatch.setattr(comparison, "image_function", lambda subject, threads=0: lambda image: next(results))
    monkeypatch.setattr(comparison, "synthetic_inputs", lambda shape: [])
    sides = Subject(checkpoint(), "torch"), Subject(checkpoint(), "torch-unfused")
    report = compare(*sides, [TestInput("x", a)], bound=1.0, steadiness=False)
    assert report.inputs[0].psnr is not None
    assert report.inputs[0].worst == (5, 6)
    assert not report.passed


def test_an_engine_of_one_size(small_artifact: Artifact, tmp_path: Path) -> None:
    engine = build(small_artifact, "openvino", BuildOptions(shape=Shape(24, 40)), tmp_path).engine
    first, second = Subject(small_artifact, "ort-cpu"), Subject.parse(str(engine.path))
    report = compare(first, second, bound=1e-4)
    assert report.passed
    assert {item.size for item in report.inputs} == {"40x24"}
    assert sum(item.input.startswith("image") for item in report.inputs) == 5


def test_images_that_ship_stand_in_for_real_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RT4KSR_DATA", str(tmp_path))
    assert [item.name for item in real_images()] == [f"image {number}" for number in range(1, 6)]


def test_equal_subjects_are_equal(small_artifact: Artifact) -> None:
    mine = Subject(small_artifact, "ort-cpu")
    report = compare(mine, mine, [], bound=0.0)
    assert report.passed
    assert {item.psnr for item in report.inputs} == {None}
    assert all(steady.deterministic and steady.same_for_threads for steady in report.steadiness)
    assert report.steadiness[0].threads == (1, 2, 3)


def test_a_bound_that_is_left_fails(small_artifact: Artifact, tmp_path: Path) -> None:
    fp16 = convert(small_artifact, "fp16", directory=tmp_path)
    report = compare(Subject(small_artifact, "ort-cpu"), Subject(fp16, "ort-cpu"), [], bound=1e-5)
    assert not report.passed


def test_images_are_compared_as_images(small_artifact: Artifact, tmp_path: Path) -> None:
    images = export(checkpoint(), ExportOptions(uint8="NHWC"), tmp_path)
    report = compare(Subject(small_artifact, "ort-cpu"), Subject(images, "openvino"), [], steadiness=False)
    assert report.notes
    assert not any("large values" in item.input for item in report.inputs)
    assert max(item.grey_levels for item in report.inputs) <= 1
    assert all(item.ulp is None for item in report.inputs)


@pytest.mark.parametrize("runtime", ["", "@torch", "@float64"])
def test_checkpoints(runtime: str, small_artifact: Artifact, tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "w.safetensors", network())
    first, second = Subject.parse(f"{path}{runtime}"), Subject.parse(f"{small_artifact.path}@openvino")
    before = torch.get_num_threads()
    report = compare(first, second, [], bound=1e-5)
    assert all(item.largest <= 1e-5 for item in report.inputs if not item.input.startswith("large"))
    assert report.steadiness[0].deterministic
    assert report.steadiness[0].threads == (1, 2, 3)
    assert torch.get_num_threads() == before


@needs_data
def test_real_images_are_the_default(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RT4KSR_DATA", str(DATA))
    mine = Subject(small_artifact, "ort-cpu")
    assert sum(item.input.startswith("image") for item in compare(mine, mine, steadiness=False).inputs) == 5


def test_what_cannot_be_compared(small_artifact: Artifact, tmp_path: Path) -> None:
    mine = Subject(small_artifact, "ort-cpu")
    with pytest.raises(InputError, match=r"upscales x2, and .* x3"):
        compare(mine, Subject(checkpoint(small_preset("rt4ksr", 3)), "torch"))
    fixed = [export(checkpoint(), ExportOptions(shape=Shape(8, size)), tmp_path) for size in (8, 12)]
    with pytest.raises(InputError, match=r"takes 8x8, and .* takes 12x8"):
        compare(*(Subject(item, "ort-cpu") for item in fixed))
    assert compare(mine, Subject(fixed[0], "ort-cpu"), [], steadiness=False).inputs[0].size == "8x8"
    with pytest.raises(InputError, match="does not run checkpoints"):
        Subject.parse(f"{save_safetensors(tmp_path / 'w', network())}@openvino")
    engine = build(small_artifact, "ort-cpu", BuildOptions(shape=Shape(8, 8)), tmp_path).engine
    with pytest.raises(InputError, match="is an engine for ort-cpu"):
        Subject.parse(f"{engine.path}@openvino")
    assert Subject.parse(str(engine.path)).runtime == "ort-cpu"
    with pytest.raises(InputError, match="no runtime"):
        compare(mine, Subject.parse(f"{small_artifact.path}@nonsense"))


def test_an_at_sign_in_a_file_name(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "a@b.safetensors", network())
    assert Subject.parse(str(path)).runtime == "torch-unfused"
    assert Subject.parse(f"{path}@float64").runtime == "float64"


@needs_data
def test_the_command(toolkit_command, small_artifact: Artifact) -> None:
    done = toolkit_command("compare", released(2), released(2).with_name("rt4ksr_x3.pth"))
    assert done.returncode == 2
    assert "upscales" in done.stderr
    done = toolkit_command("compare", "--layers", "--json", small_artifact.path, f"{small_artifact.path}@reference")
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout)["culprit"] is None


# Handed to Polygraphy


@pytest.mark.slow
@pytest.mark.parametrize("uint8", [None, "NHWC"])
def test_a_pair_goes_to_polygraphy(uint8: str | None, tmp_path: Path) -> None:
    good = export(checkpoint(), ExportOptions(uint8=uint8), tmp_path / "good")
    (tmp_path / "bad").mkdir()
    bad = Subject.parse(str(planted(good, tmp_path / "bad", "upsample", 2.0)), "ort-cpu", edited=True)
    script = tmp_path / "scripts" / "pair.py"
    for other, code in ((Subject(good, "ort-cpu"), 0), (bad, 1)):
        polygraphy_script(Subject(good, "ort-cpu"), other, 1e-4, script, overwrite=True)
        done = subprocess.run([sys.executable, script, "--all"], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
    assert "FAILED" in done.stdout
    assert "upsample" in done.stdout


def test_scripts_for_tensorrt_compile_and_others_are_refused(small_artifact: Artifact, tmp_path: Path) -> None:
    mine = Subject(small_artifact, "ort-cpu")
    for runtime in ("tensorrt", "tensorrt-rtx"):
        polygraphy_script(mine, Subject(small_artifact, runtime), 1e-3, tmp_path / "s.py", overwrite=True)
        compile((tmp_path / "s.py").read_text(), "s.py", "exec")
        assert ("RTX" in (tmp_path / "s.py").read_text()) == (runtime == "tensorrt-rtx")
    for other in (Subject(small_artifact, "openvino"), Subject(checkpoint(), "torch")):
        with pytest.raises(InputError, match="Polygraphy cannot compare"):
            polygraphy_script(mine, other, 1e-3, tmp_path / "s.py")
