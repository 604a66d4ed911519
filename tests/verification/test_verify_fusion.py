from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from samples import checkpoint, network, save_safetensors

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.source import source_checkpoint
from toolkit.network.fusion import fuse
from toolkit.network.module import numpy_function
from toolkit.system.atomic import sha256_of
from toolkit.verification import fusion
from toolkit.verification.inputs import real_images, synthetic_inputs
from toolkit.workloads import Shape


def test_released_networks_pass(released_artifact: Artifact) -> None:
    report = toolkit.verify_fusion(source_checkpoint(released_artifact), released_artifact, full_frame=False)
    assert report.passed
    assert report.graph == "ort-cpu"
    assert not report.notes
    kinds = {item.input for item in report.comparisons}
    assert {"black", "white", "noise 1x1", "noise 53x37", "image img_001.png"} <= kinds
    # What is asserted must hold on every CPU: half a grey level for float32, and digits of float64 for the proof.
    assert report.bounds.graph < 0.5 / 255
    assert report.bounds.graph_float64 < 1e-4
    proved = [item.graph_float64 for item in report.comparisons if item.graph_float64 is not None]
    assert len(proved) >= 8
    assert 0 < max(proved) < 2e-6


@pytest.mark.slow
def test_released_networks_pass_at_a_full_frame(released_artifact: Artifact) -> None:
    """What the test above asserts of small images; a full frame takes many seconds."""
    report = toolkit.verify_fusion(source_checkpoint(released_artifact), released_artifact, images=[])
    assert report.passed
    frame = report.comparisons[-1]
    assert frame.input.startswith("full frame")
    assert frame.graph_fused is not None


def test_without_an_artifact_one_is_made_for_the_occasion() -> None:
    report = toolkit.verify_fusion(checkpoint(), full_frame=False, images=[])
    assert report.passed
    assert any("no real images" in note for note in report.notes)
    assert all(item.graph_unfused is not None for item in report.comparisons)


@pytest.mark.parametrize("options", [ExportOptions(uint8="NHWC"), ExportOptions(shape=Shape(18, 20))])
def test_other_kinds_of_artifact(options: ExportOptions, tmp_path: Path) -> None:
    artifact = export(checkpoint(), options, tmp_path)
    report = toolkit.verify_fusion(checkpoint(), artifact, full_frame=False)
    assert report.passed
    compared = [item for item in report.comparisons if item.graph_fused is not None]
    assert len(compared) >= 4
    if options.uint8:
        assert {"large values (±1000)"} <= {item.input for item in report.comparisons if item.graph_fused is None}


def tampered(artifact: Artifact, directory: Path, name: str, delta: float) -> Artifact:
    """The artifact with one weight changed, and a manifest that vouches for the change."""
    model = onnx.load(artifact.path)
    tensor = next(item for item in model.graph.initializer if item.name == name)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] += delta
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))
    content = model.SerializeToString()
    import msgspec

    manifest = msgspec.structs.replace(artifact.manifest, onnx_sha256=sha256_of(content))
    return Artifact.write(directory, content, manifest, artifact.weights_path.read_bytes())


@pytest.mark.parametrize("name", ["head.weight", "body.1.conv.weight", "tail.norm.shift", "upsample.bias"])
@pytest.mark.parametrize("delta", [1e-3, 1e-4])
def test_one_wrong_weight_in_the_graph_is_caught(
    name: str, delta: float, small_artifact: Artifact, tmp_path: Path
) -> None:
    changed = tampered(small_artifact, tmp_path, name, delta)
    report = toolkit.verify_fusion(checkpoint(), changed, images=[], full_frame=False)
    assert not report.passed
    failed = {check.kind for check in report.checks if not check.passed}
    assert "graph in float64" in failed
    assert failed <= {"graph in float64", "graph against unfused", "graph against fused"}


def test_a_wrong_merge_is_caught(monkeypatch: pytest.MonkeyPatch, small_artifact: Artifact) -> None:
    """Were `fuse` to forget the outer identity of one block, everything but the source would disagree."""

    def careless(source):
        fused = fuse(source)
        channels = range(source.config.channels)
        fused.body[1].conv.weight.data[channels, channels, 1, 1] -= 1
        return fused

    monkeypatch.setattr(fusion, "fuse", careless)
    report = toolkit.verify_fusion(checkpoint(), small_artifact, full_frame=False)
    failed = [check for check in report.checks if not check.passed]
    assert {check.kind for check in failed} == {"stored weights", "float64", "float32", "graph against fused"}
    assert [check.subject for check in failed if check.kind == "stored weights"] == ["body.1.conv"]


def test_a_nan_is_a_failure(monkeypatch: pytest.MonkeyPatch, small_artifact: Artifact) -> None:
    monkeypatch.setattr(fusion, "difference", lambda *_: float("nan"))
    assert not toolkit.verify_fusion(checkpoint(), small_artifact, full_frame=False).passed


def test_the_forms_in_float32_are_allowed_what_float32_costs_on_any_cpu(small_artifact: Artifact) -> None:
    """An error ten times what this CPU shows, as another one might have, is no failure; half precision is."""
    report = toolkit.verify_fusion(checkpoint(), small_artifact, images=[], full_frame=False)
    assert all(10 * item.graph_unfused < report.bounds.graph for item in report.comparisons)
    exact = numpy_function(checkpoint().network, "float64")
    halves = numpy_function(checkpoint().network.half(), "float32")
    frame = next(synthetic_inputs()).array
    assert fusion.difference(halves(frame.astype(np.float16)), exact(frame)) > report.bounds.graph


def test_a_fused_checkpoint_has_nothing_to_prove(tmp_path: Path) -> None:
    fused = toolkit.load_checkpoint(save_safetensors(tmp_path / "fused", fuse(network())))
    with pytest.raises(InputError, match="already fused"):
        toolkit.verify_fusion(fused)


def test_an_artifact_of_another_checkpoint_is_refused(small_artifact: Artifact) -> None:
    with pytest.raises(InputError, match="was not exported from"):
        toolkit.verify_fusion(checkpoint(seed=5), small_artifact)


def test_difference_is_absolute_up_to_the_nominal_range() -> None:
    assert fusion.difference(np.array([0.5]), np.array([0.75])) == 0.25
    assert fusion.difference(np.array([8.0, 1.0]), np.array([10.0, 1.0])) == pytest.approx(0.2)
    assert fusion.difference(np.array([254.0]), np.array([255.0]), 255) == 1


def test_synthetic_inputs_hold_odd_and_tiny_sizes() -> None:
    shapes = {item.array.shape[2:] for item in synthetic_inputs()}
    assert {(1, 1), (37, 53)} <= shapes
    assert {item.array.shape for item in synthetic_inputs(Shape(5, 7))} == {(1, 3, 5, 7)}


def test_images_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    Image.new("L", (300, 20), 128).save(tmp_path / "deep" / "grey.png")
    Image.new("RGBA", (5, 4), (255, 0, 0, 9)).save(tmp_path / "alpha.png")
    (tmp_path / "notes.txt").write_text("no image")
    images = {item.name: item.array for item in real_images(tmp_path)}
    assert {name: array.shape for name, array in images.items()} == {
        "image alpha.png": (1, 3, 4, 5),
        "image grey.png": (1, 3, 20, 256),
    }
    np.testing.assert_allclose(images["image grey.png"], 128 / 255, rtol=1e-6)
    assert {item.array.shape for item in real_images(tmp_path, Shape(9, 30))} == {(1, 3, 9, 30)}


def test_directories_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="contains no images"):
        real_images(tmp_path)
    with pytest.raises(InputError, match="not a directory"):
        real_images(tmp_path / "missing")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG but not really")
    with pytest.raises(InputError, match=r"cannot read image .*broken\.png"):
        real_images(tmp_path)
