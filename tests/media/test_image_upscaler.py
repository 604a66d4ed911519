"""`toolkit.Upscaler`: arrays and Pillow images in, the same kind out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media.nearest import nearest_artifact
from numpy.typing import NDArray
from PIL import Image

import toolkit
from toolkit.artifact import Artifact
from toolkit.graph.precision.calibration import calibration_images


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A network that repeats every pixel: what its result must be is known."""
    return nearest_artifact(tmp_path_factory.mktemp("nearest"))


@pytest.fixture(scope="module")
def upscale(nearest: Artifact) -> toolkit.Upscaler:
    return toolkit.Upscaler(nearest, runtime="ort-cpu")


def repeated(image: NDArray[Any]) -> NDArray[Any]:
    return image.repeat(2, 0).repeat(2, 1)


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), channels=st.sampled_from([None, 1, 2, 3, 4]))
def test_arrays_of_any_size(upscale: toolkit.Upscaler, height: int, width: int, channels: int | None) -> None:
    shape = (height, width) if channels is None else (height, width, channels)
    image = np.random.default_rng(height).integers(0, 256, shape, np.uint8)
    if channels in (2, 4):
        image[..., -1] |= 1  # colour under full transparency is replaced before the network sees it
    before = image.copy()
    result = upscale(image)
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, repeated(image))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pillow_images(mode: str, upscale: toolkit.Upscaler) -> None:
    image = Image.effect_noise((21, 14), 60).convert(mode)
    image.info.update(dpi=(300, 300), icc_profile=b"profile", comment="of the input")
    result = upscale(image)
    assert (result.mode, result.size) == (mode, (42, 28))
    np.testing.assert_array_equal(np.asarray(result), repeated(np.asarray(image)))
    assert result.info == {"dpi": (300, 300), "icc_profile": b"profile"}


def test_arrays_that_are_not_contiguous(upscale: toolkit.Upscaler) -> None:
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    for view in (image[::-1], image[:, ::2], image[..., ::-1], image.transpose(1, 0, 2)):
        np.testing.assert_array_equal(upscale(view), repeated(view))


def test_results_are_kept(upscale: toolkit.Upscaler) -> None:
    """A session reuses its output; results of an upscaler are the caller's."""
    first = upscale(np.full((8, 8, 3), 10, np.uint8))
    second = upscale(np.full((8, 8, 3), 200, np.uint8))
    assert not np.shares_memory(first, second)
    assert set(first.ravel()) == {10}
    first[:] = 0
    assert set(second.ravel()) == {200}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32 is not supported"),
        (np.zeros((4, 4, 3), np.uint16), "uint16 is not supported"),
        (np.zeros((1, 3, 4, 4), np.uint8), "is not an image"),
        (np.zeros((3, 4, 5), np.uint8), "is not an image"),
        (np.zeros((0, 4, 3), np.uint8), "has no pixels"),
        (Image.new("CMYK", (4, 4)), "mode CMYK is not supported"),
        (Image.new("P", (4, 4)), "mode P is not supported"),
        ([[0, 1], [2, 3]], "list is not an image"),
    ],
    ids=["float32", "uint16", "batch", "five-channels", "empty", "cmyk", "palette", "list"],
)
def test_what_is_not_an_8_bit_image_is_refused(image: Any, words: str, upscale: toolkit.Upscaler) -> None:
    with pytest.raises(toolkit.InputError, match=words):
        upscale(image)


def test_models(nearest: Artifact, tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    engine = toolkit.build(nearest, "ort-cpu", toolkit.BuildOptions(shape=toolkit.Shape(4, 4)), tmp_path).engine
    for model in (nearest.path, str(nearest.path), f"{nearest.path}@openvino", engine, engine.path):
        with toolkit.Upscaler(model) as upscaler:
            assert upscaler(image).shape == (8, 8, 3)
    with pytest.raises(toolkit.InputError, match="was closed"):
        upscaler(image)
    (tmp_path / "weights.pth").touch()
    for bad in (tmp_path / "missing.onnx", tmp_path / "weights.pth"):
        with pytest.raises(toolkit.InputError):
            toolkit.Upscaler(bad)


@pytest.mark.parametrize("scale", [2, 3])
def test_without_a_model_it_is_better_than_bicubic(scale: int) -> None:
    """The toolkit's own weights on a photograph."""
    height, width = 32 * scale, 48 * scale
    original = calibration_images()[0][:height, :width]
    small = Image.fromarray(original).resize((48, 32), Image.Resampling.BICUBIC)
    bicubic = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    result = np.asarray(toolkit.Upscaler(scale=scale)(small))
    errors = [np.square(item.astype(np.float64) - original).mean() for item in (result, bicubic)]
    assert errors[0] < errors[1]
