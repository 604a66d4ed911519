"""Images that int8 is calibrated on: which are used, what is measured on them, and what is said of the others."""

from pathlib import Path

import onnx
import pytest
from PIL import Image

from toolkit.artifact import Artifact
from toolkit.errors import InputError, Unavailable
from toolkit.graph.precision.calibration import activation_magnitudes, calibration_images, usable_images
from toolkit.graph.precision.convert import convert
from toolkit.graph.precision.options import ConvertOptions
from toolkit.sizes import EVEN


@pytest.mark.parametrize("method", ["percentile", "entropy", "minmax"])
def test_ranges_are_those_of_the_images(method: str, small_artifact: Artifact, tmp_path: Path) -> None:
    images = calibration_images()[:2]
    model = onnx.load(small_artifact.path)
    ranges = activation_magnitudes(model, small_artifact.manifest.input, images, method, 99.9)
    assert {"input", "body.0.norm.add_1", "tail.norm.add_1", "tail.conv"} <= set(ranges)
    largest = max(image.max() for image in images) / 255
    assert ranges["input"] <= largest + 1e-6
    if method == "minmax":
        assert ranges["input"] == pytest.approx(largest)


def test_own_calibration_images(small_artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.effect_noise((45, 33), 80).save(tmp_path / "images" / "odd.png")
    options = ConvertOptions(calibration=tmp_path / "images", method="minmax")
    artifact = convert(small_artifact, "int8", options, tmp_path)
    assert artifact.manifest.conversion is not None
    stated = "images of images, channels scaled, ranges by minmax, weights fitted and rounded together"
    assert artifact.manifest.conversion.calibration == stated


def test_calibration_goes_on_without_images_that_cannot_be_used(small_artifact: Artifact, tmp_path: Path) -> None:
    directory = tmp_path / "images"
    directory.mkdir()
    Image.effect_noise((45, 33), 80).save(directory / "a.png")
    options = ConvertOptions(calibration=directory, method="minmax")
    alone = convert(small_artifact, "int8", options, tmp_path / "alone")
    (directory / "b.png").write_bytes((directory / "a.png").read_bytes()[:80])
    beside = convert(small_artifact, "int8", options, tmp_path / "beside")
    assert beside.path.read_bytes() == alone.path.read_bytes()
    assert alone.manifest.notes == ()
    assert beside.manifest.notes == ("int8: images that could not be used for calibration: b.png",)
    Image.new("RGB", (1, 1)).save(directory / "tiny.png")
    with pytest.raises(InputError, match=r"2 of 3 images in .* cannot be used: .*b\.png"):
        convert(small_artifact, "int8", options, tmp_path / "none")


def test_an_image_that_is_too_small_for_calibration(small_artifact: Artifact, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")
    with pytest.raises(InputError, match=r"tiny\.png is only 1x1"):
        convert(small_artifact, "int8", ConvertOptions(calibration=tmp_path), tmp_path)


def test_as_many_calibration_images_as_without_damaged_ones(tmp_path: Path) -> None:
    for number in range(40):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / f"{number:02}.png")
    for number in (3, 30, 39):
        (tmp_path / f"{number:02}.png").write_bytes(b"no picture")
    Image.new("RGB", (7, 200)).save(tmp_path / "05.png")
    images, left_out = usable_images(tmp_path, EVEN)
    assert [int(image[0, 0, 0]) for image in images] == [n for n in range(35) if n not in (3, 5, 30)]
    assert [path.name for path in left_out] == ["03.png", "05.png", "30.png"]


def test_images_that_ship() -> None:
    images = calibration_images()
    assert len(images) == 5
    assert all(image.shape[0] % 2 == image.shape[1] % 2 == 0 and image.shape[2] == 3 for image in images)


def test_int8_without_onnxruntime_says_so(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime.quantization", None)
    with pytest.raises(Unavailable, match="calibration needs onnxruntime"):
        convert(small_artifact, "int8", ConvertOptions(method="percentile"))
