"""The page in Chromium: its pixels are those of ONNX Runtime, and it says what computes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from numpy.typing import NDArray
from photographs import picture
from PIL import Image

import toolkit
from toolkit.artifact import Artifact

Pixels = NDArray[np.uint8]
PROVIDERS = ["wasm", pytest.param("webgpu", marks=pytest.mark.slow)]
"""SwiftShader takes seconds for a tile."""
READY = "!document.getElementById('application').hidden"
DONE = "document.getElementById('status').textContent.includes('enlarged')"


def text(window: Browser, name: str) -> str:
    """What an element shows; empty if it is hidden."""
    shown = window.run(
        "const found = document.getElementById(arguments[0]); return found.checkVisibility() ? found.innerText : ''",
        name,
    )
    assert isinstance(shown, str)
    return shown


def opened(window: Browser, site: str) -> None:
    window.open(site)
    window.wait(READY)


def enlarged(window: Browser, path: Path, pixels: Pixels) -> Pixels:
    """What the page makes of a picture, as the file that it offers for download."""
    Image.fromarray(pixels).save(path)
    window.choose("#file", path)
    window.wait(f"{DONE} && document.getElementById('status').textContent.startsWith('{path.stem} ')")
    result = window.downloaded("#save")
    assert result.name.startswith(f"{path.stem}_x")
    with Image.open(result) as image:
        found = np.asarray(image)
    result.unlink()
    return found


def levels(found: Pixels, artifact: Artifact, given: Pixels) -> int:
    """The largest difference from what ONNX Runtime computes."""
    with toolkit.Upscaler(artifact, runtime="ort-cpu") as upscale:
        wanted = upscale(given)
    assert found.shape == wanted.shape
    return int(np.abs(found.astype(int) - wanted).max())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_pixels_are_those_of_onnx_runtime(
    window: Browser, sites: str, networks: dict[str, Artifact], provider: str, tmp_path: Path
) -> None:
    opened(window, f"{sites}/fp32/?provider={provider}")
    name = {"wasm": "WebAssembly (CPU, 1 thread)", "webgpu": "WebGPU (google swiftshader)"}[provider]
    assert text(window, "provider") == name
    assert text(window, "reference").startswith("yes")
    for height, width in ((41, 31), (1, 1), (24, 20)):
        given = picture(height, width)
        assert levels(enlarged(window, tmp_path / f"{height}.png", given), networks["fp32"], given) <= 1
        assert text(window, "time").endswith("ms)")
    assert not text(window, "fallback")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_picture_in_strips(
    window: Browser, sites: str, networks: dict[str, Artifact], provider: str, tmp_path: Path
) -> None:
    """Noise, so that a row that is missing from a halo shows."""
    opened(window, f"{sites}/fp32/?provider={provider}&memory=0.04")
    given = np.random.default_rng(0).integers(0, 256, (81, 12, 3), np.uint8)
    assert levels(enlarged(window, tmp_path / "high.png", given), networks["fp32"], given) <= 1
    assert "runs" in text(window, "time")


def test_transparency_and_grey(window: Browser, sites: str, networks: dict[str, Artifact], tmp_path: Path) -> None:
    opened(window, f"{sites}/fp32/?provider=wasm")
    alpha = np.zeros((33, 45, 1), np.uint8)
    alpha[5:25, 10:40] = 255
    alpha[25:30, 10:40] = np.arange(5, 245, 8, np.uint8)[None, :, None]
    colour = np.concatenate([picture(33, 45), alpha], axis=2)
    found = enlarged(window, tmp_path / "alpha.png", colour)
    with toolkit.Upscaler(networks["fp32"], runtime="ort-cpu") as upscale:
        wanted = upscale(colour)
    np.testing.assert_allclose(found[..., 3].astype(int), wanted[..., 3], atol=1)
    visible = wanted[..., 3] > 0
    assert np.abs(found.astype(int) - wanted)[visible].max() <= 1
    grey = picture(20, 31)[..., 0]
    found = enlarged(window, tmp_path / "grey.png", grey)
    assert (found == found[..., :1]).all()
    assert levels(found[..., 0], networks["fp32"], grey) <= 1


@pytest.mark.parametrize("name", ["luma", "uint8", "half"])
def test_other_ends(window: Browser, sites: str, networks: dict[str, Artifact], name: str, tmp_path: Path) -> None:
    opened(window, f"{sites}/{name}/?provider=wasm&memory=0.1")
    given = picture(53, 38)
    assert levels(enlarged(window, tmp_path / "a.png", given), networks[name], given) <= 1


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        ("broken", "WebGPU differs from the reference by "),
        ("fp16", "does not compute in float16 (shader-f16)"),
        ("uint8", "WebGPU: it has no kernels for some nodes of the network"),
    ],
)
def test_a_fallback_is_visible(
    window: Browser, sites: str, networks: dict[str, Artifact], site: str, reason: str, tmp_path: Path
) -> None:
    opened(window, f"{sites}/{site}/")
    assert text(window, "provider").startswith("WebAssembly")
    fallback = text(window, "fallback")
    assert fallback.startswith("Computed by WebAssembly on the CPU, which is slower.")
    assert reason in fallback
    given = picture(20, 30)
    artifact = networks["fp32" if site == "broken" else site]
    assert levels(enlarged(window, tmp_path / "a.png", given), artifact, given) <= 1


def test_a_gpu_that_fails_later(window: Browser, sites: str, networks: dict[str, Artifact], tmp_path: Path) -> None:
    """The picture is computed all the same, and the page says by what."""
    opened(window, f"{sites}/lost/")
    assert text(window, "provider").startswith("WebGPU")
    given = picture(20, 30)
    assert levels(enlarged(window, tmp_path / "a.png", given), networks["fp32"], given) <= 1
    assert text(window, "provider").startswith("WebAssembly")
    assert "WebGPU failed: the device is lost" in text(window, "fallback")


def test_a_picture_that_is_too_large(window: Browser, sites: str, tmp_path: Path) -> None:
    opened(window, f"{sites}/fp32/?provider=wasm")
    wide = tmp_path / "wide.png"
    Image.fromarray(np.zeros((2, 9000, 3), np.uint8)).save(wide)
    window.choose("#file", wide)
    window.wait("!document.getElementById('error').hidden")
    assert text(window, "error").startswith("The result would have 18000×4 pixels")


def test_a_wrong_result_is_not_shown(window: Browser, sites: str) -> None:
    """Where nothing computes the tile, there is nothing to drop a picture on."""
    window.open(f"{sites}/broken/?provider=webgpu")
    window.wait("!document.getElementById('fallback').hidden")
    assert "differs from the reference" in text(window, "fallback")
    assert text(window, "reference") == "no"
    assert not window.run(f"return {READY}")


def test_a_wrong_file(window: Browser, sites: str, networks: dict[str, Artifact], tmp_path: Path) -> None:
    opened(window, f"{sites}/fp32/?provider=wasm")
    for name in ("notes.txt", "torn.png", "film.mp4"):
        wrong = tmp_path / name
        wrong.write_bytes(b"\x89PNG\r\n\x1a\n nothing")
        window.choose("#file", wrong)
        window.wait("!document.getElementById('error').hidden")
        assert text(window, "error").startswith(f"{name} is no picture or video that this browser can decode.")
    given = picture(9, 9)
    assert levels(enlarged(window, tmp_path / "right.png", given), networks["fp32"], given) <= 1
    assert not text(window, "error")
