"""Videos and shared tabs on the page."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from browser import Browser
from media.films import moving, write_film
from PIL import Image

import toolkit
from toolkit.artifact import Artifact

READY = "!document.getElementById('application').hidden"
SHOWN = "!document.getElementById('result').hidden"
_FRAME = """
const video = document.getElementById("video");
const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
const context = canvas.getContext("2d");
context.drawImage(video, 0, 0);
return [canvas.width, canvas.height, [...context.getImageData(0, 0, canvas.width, canvas.height).data]];
"""


_SHARED = """
const canvas = document.createElement("canvas");
canvas.width = 60;
canvas.height = 44;
const context = canvas.getContext("2d");
setInterval(() => {
  for (let y = 0; y < 44; y += 4) {
    for (let x = 0; x < 60; x += 4) {
      context.fillStyle = `rgb(${4 * x} ${5 * y} ${(x * y) % 256})`;
      context.fillRect(x, y, 4, 4);
    }
  }
}, 50);
navigator.mediaDevices.getDisplayMedia = async () => canvas.captureStream(20);
"""
"""Headless Chromium has no tab to share ("Could not start video source"): a stream of a canvas stands for one."""


def levels(window: Browser, artifact: Artifact) -> int:
    """The largest difference between what the page offers for download and what ONNX Runtime makes of the frame."""
    width, height, values = window.run(_FRAME)
    before = np.array(values, np.uint8).reshape(height, width, 4)[..., :3]
    result = window.downloaded("#save")
    with Image.open(result) as image:
        found = np.asarray(image.convert("RGB"))
    result.unlink()
    with toolkit.Upscaler(artifact, runtime="ort-cpu") as upscale:
        wanted = upscale(before)
    assert found.shape == wanted.shape
    return int(np.abs(found.astype(int) - wanted).max())


def test_a_frame_of_a_video(window: Browser, sites: str, networks: dict[str, Artifact], tmp_path: Path) -> None:
    """The frames are equal, so that it does not matter which one is shown."""
    film = write_film(tmp_path / "film.mp4", [moving(1, 32, 48)[0]] * 5, options={"crf": "0"}, pix_fmt="yuv420p")
    window.open(f"{sites}/fp32/?provider=wasm")
    window.wait(READY)
    window.choose("#file", film)
    window.wait(SHOWN)
    assert levels(window, networks["fp32"]) <= 1
    assert "48×32 → 96×64" in window.run("return document.getElementById('caption').textContent")
    assert window.run("return document.getElementById('video').checkVisibility()")


def test_a_film_goes_on(window: Browser, sites: str, networks: dict[str, Artifact], tmp_path: Path) -> None:
    """The result follows the film, in which a red square moves: where it is paused, it is that of another frame."""
    film = write_film(tmp_path / "moving.mp4", moving(25, 32, 48))
    window.open(f"{sites}/fp32/?provider=wasm")
    window.wait(READY)
    window.choose("#file", film)
    window.wait(SHOWN)
    look = "document.getElementById('viewright').toDataURL()"
    window.run(f"window.first = {look}")
    window.wait(f"{look} !== window.first")
    window.run("document.getElementById('video').pause()")
    found = [levels(window, networks["fp32"])]
    while found[-1] > 1 and len(found) < 10:  # the last frame may still be on its way
        time.sleep(0.2)
        found.append(levels(window, networks["fp32"]))
    assert found[-1] <= 1, found
    assert window.run(f"return {look} !== window.first")


def test_a_shared_tab(window: Browser, sites: str, networks: dict[str, Artifact]) -> None:
    window.open(f"{sites}/fp32/?provider=wasm")
    window.wait(READY)
    window.run(_SHARED)
    window.click("#share")
    window.wait(SHOWN)
    assert "60×44 → 120×88" in window.run("return document.getElementById('caption').textContent")
    assert levels(window, networks["fp32"]) <= 1
    window.click("#stop")
    assert window.run("return document.getElementById('status').textContent") == "Sharing has ended."
    assert not window.run("return document.getElementById('stop').checkVisibility()")
    assert window.run("return document.getElementById('video').srcObject === null")


def test_a_person_who_shares_nothing(window: Browser, sites: str) -> None:
    """Declining is no error; everything else is."""
    window.open(f"{sites}/fp32/?provider=wasm")
    window.wait(READY)
    for name, shown in (("NotAllowedError", False), ("NotReadableError", True)):
        window.run(
            "const [name] = arguments; document.getElementById('error').hidden = true;"
            "navigator.mediaDevices.getDisplayMedia = async () => { throw new DOMException('no source', name); }",
            name,
        )
        window.click("#share")
        assert window.run("return document.getElementById('error').checkVisibility()") is shown
