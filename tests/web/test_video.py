"""Videos and shared tabs on the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
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


def test_a_frame_of_a_video(window: Browser, sites: str, networks: dict[str, Artifact], tmp_path: Path) -> None:
    """The frames are equal, so that it does not matter which one is shown."""
    film = write_film(tmp_path / "film.mp4", [moving(1, 32, 48)[0]] * 5, options={"crf": "0"}, pix_fmt="yuv420p")
    window.open(f"{sites}/fp32/?provider=wasm")
    window.wait(READY)
    window.choose("#file", film)
    window.wait(SHOWN)
    width, height, values = window.run(_FRAME)
    before = np.array(values, np.uint8).reshape(height, width, 4)[..., :3]
    with Image.open(window.downloaded("#save")) as image:
        found = np.asarray(image.convert("RGB"))
    with toolkit.Upscaler(networks["fp32"], runtime="ort-cpu") as upscale:
        wanted = upscale(before)
    assert found.shape == (64, 96, 3)
    assert np.abs(found.astype(int) - wanted).max() <= 1
    assert "48×32 → 96×64" in window.run("return document.getElementById('caption').textContent")
    assert window.run("return document.getElementById('video').checkVisibility()")


def test_a_film_goes_on(window: Browser, sites: str, tmp_path: Path) -> None:
    """The result follows the film: its line of red squares moves."""
    film = write_film(tmp_path / "moving.mp4", moving(25, 32, 48))
    window.open(f"{sites}/fp32/?provider=wasm")
    window.wait(READY)
    window.choose("#file", film)
    window.wait(SHOWN)
    look = "document.getElementById('viewright').toDataURL()"
    window.run(f"window.first = {look}")
    window.wait(f"{look} !== window.first")


def test_a_shared_tab(window: Browser, sites: str) -> None:
    window.open(f"{sites}/fp32/?provider=wasm&memory=64")
    window.wait(READY)
    window.resize(400, 300)
    window.click("#share")
    window.wait(f"({SHOWN}) || !document.getElementById('error').hidden")
    error = window.run("return document.getElementById('error').innerText")
    if error:
        pytest.skip(f"this Chromium shares no tab: {error}")
    assert window.run("return document.getElementById('stop').checkVisibility()")
    window.click("#stop")
    assert window.run("return document.getElementById('status').textContent") == "Sharing has ended."
