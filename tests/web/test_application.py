"""The page as an application: keyboard, screen readers, small screens, other servers; and its strips."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import browser
import numpy as np
import pytest
from browser import Browser
from photographs import picture
from PIL import Image

import toolkit
from toolkit.artifact import Artifact
from toolkit.graph.analysis.locality import Locality
from toolkit.media.strips import cut, highest
from toolkit.sizes import SizeRule, reflected_indices
from toolkit.workloads import Shape

READY = "!document.getElementById('application').hidden"
SHOWN = "!document.getElementById('result').hidden"
RIGHT, LEFT = "\ue014", "\ue012"
"""Arrow keys, in the WebDriver protocol."""


@pytest.fixture
def page(window: Browser, sites: str, tmp_path: Path) -> Iterator[Browser]:
    """The page with a picture on it."""
    path = tmp_path / "a.png"
    Image.fromarray(picture(60, 90)).save(path)
    window.resize(1280, 900)
    window.open(f"{sites}/fp32/?provider=wasm")
    window.wait(READY)
    window.choose("#file", path)
    window.wait(SHOWN)
    yield window
    window.resize(1280, 900)


def test_arrow_keys_move_the_line(page: Browser) -> None:
    width = "document.getElementById('viewupper').getBoundingClientRect().width"
    before = page.run(f"return {width}")
    page.press("#viewline", RIGHT * 5)
    after = page.run(f"return {width}")
    assert after > before
    assert page.run("return document.getElementById('viewline').getAttribute('aria-valuetext')").startswith(
        "55 percent"
    )
    page.press("#viewline", LEFT * 5)
    assert page.run(f"return {width}") == pytest.approx(before)


def test_dragging_moves_the_line(page: Browser) -> None:
    page.run(
        "const stage = document.getElementById('viewstage'), box = stage.getBoundingClientRect();"
        "stage.dispatchEvent(new PointerEvent('pointerdown', "
        "{ isPrimary: true, buttons: 1, clientX: box.left + box.width / 4, clientY: box.top + 5, bubbles: true }));"
    )
    assert page.run("return Math.round(document.getElementById('viewline').value)") == 25


def test_a_picture_is_dropped(page: Browser, networks: dict[str, Artifact]) -> None:
    before = page.run("return document.getElementById('viewright').toDataURL()")
    page.run(
        """
        const canvas = new OffscreenCanvas(30, 20);
        const context = canvas.getContext("2d");
        context.fillStyle = "#c08040";
        context.fillRect(0, 0, 30, 20);
        context.fillStyle = "#204060";
        context.fillRect(3, 4, 15, 6);
        const data = new DataTransfer();
        data.items.add(new File([await canvas.convertToBlob()], "dropped.png", { type: "image/png" }));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        """
    )
    page.wait("document.getElementById('caption').textContent === 'dropped: 30×20 → 60×40'")
    assert page.run("return document.getElementById('viewright').toDataURL()") != before
    dropped = np.full((20, 30, 3), (0xC0, 0x80, 0x40), np.uint8)
    dropped[4:10, 3:18] = 0x20, 0x40, 0x60
    with toolkit.Upscaler(networks["fp32"], runtime="ort-cpu") as upscale:
        wanted = upscale(dropped)
    result = page.downloaded("#save")
    with Image.open(result) as image:
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - wanted).max() <= 1
    result.unlink()


def test_actual_pixels(page: Browser) -> None:
    size = "const box = document.getElementById('viewstage').getBoundingClientRect(); return [box.width, box.height]"
    fitted = page.run(size)
    assert fitted[0] > 1000
    assert fitted[0] / fitted[1] == pytest.approx(1.5, abs=0.01)
    page.click("#actual")
    assert page.run(size) == [180, 120]


def test_screen_readers_find_everything(page: Browser) -> None:
    """The names and roles that the browser gives them."""
    nodes = page.devtools("Accessibility.getFullAXTree")["nodes"]
    shown = [node for node in nodes if not node["ignored"]]
    # Some versions of Chromium keep the blank before a label's text.
    found = {(node["role"]["value"], node.get("name", {}).get("value", "").strip()) for node in shown}
    assert {
        ("main", ""),
        ("button", "Choose a file"),
        ("button", "Share a tab or window"),
        ("button", "Download PNG"),
        ("checkbox", "Actual pixels"),
        ("slider", "Line between before (enlarged by the browser) and after"),
        ("image", "after"),
        ("region", "Result"),
    } <= found
    interactive = {"button", "slider", "checkbox", "textbox", "link", "image"}
    assert not [role for role, name in found if role in interactive and not name]
    live = page.run("return [...document.querySelectorAll('[role=status], [role=alert]')].map((item) => item.id)")
    assert set(live) == {"fallback", "status", "error"}
    assert "a enlarged, 90×60 → 180×120 pixels" in page.run("return document.getElementById('status').textContent")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_page_fits(page: Browser, width: int, dark: bool) -> None:
    page.resize(width, 800, dark=dark)
    assert page.run("return document.documentElement.scrollWidth") <= width
    light = page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light is not dark


def test_nothing_comes_from_elsewhere(page: Browser, sites: str) -> None:
    used = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len(used) > 3
    assert not [name for name in used if not name.startswith((f"{sites}/", "blob:", "data:"))]
    refused = page.run("return fetch('http://127.0.0.2:1/').then(() => 'sent', (error) => error.message)")
    assert refused != "sent"
    assert [message for message in page.logged() if "Content Security Policy" in message]


def test_threads_where_the_server_isolates_the_page(window: Browser, sites: str, site_root: Path) -> None:
    isolated = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
    with browser.served(site_root, isolated) as address:
        window.open(f"{address}/fp32/?provider=wasm")
        window.wait(READY)
        cores = window.run("return navigator.hardwareConcurrency")
        shown = window.run("return document.getElementById('provider').textContent")
    assert shown == f"WebAssembly (CPU, {cores} {'threads' if cores > 1 else 'thread'})"


def test_strips_are_those_of_the_toolkit(window: Browser, sites: str) -> None:
    window.open(f"{sites}/fp32/?provider=wasm")
    generator, cases, wanted = random.Random(0), [], []
    for _ in range(200):
        local = Locality(generator.randrange(20), generator.randrange(20), generator.choice((1, 2, 4)))
        height, width = local.alignment * generator.randrange(1, 400), generator.randrange(1, 2000)
        per_pixel, memory = generator.uniform(1, 500), generator.randrange(1 << 24)
        sizes, side = SizeRule(generator.choice((1, 2, 4, 8)), generator.randrange(1, 40)), generator.randrange(1, 60)
        rows = highest(memory, Shape(height, width), per_pixel, local)
        strips = [[*asdict(strip).values()] for strip in cut(height, rows, local)]
        target = sizes.padded(side)
        wanted.append([rows, strips, target, reflected_indices(side, target)])
        rule = {"multiple": sizes.multiple, "smallest": sizes.smallest}
        cases.append([memory, height, width, per_pixel, asdict(local), side, rule])
    found = window.run(
        """
        const { cut, highest, padded, reflected } = await import("./strips.js");
        return arguments[0].map(([memory, height, width, perPixel, reach, side, rule]) => {
          const rows = highest(memory, height, width, perPixel, reach);
          const strips = cut(height, rows, reach).map((s) => [s.start, s.stop, s.keepStart, s.keepStop]);
          return [rows, strips, padded(side, rule), [...reflected(side, padded(side, rule))]];
        });
        """,
        cases,
    )
    assert json.dumps(found) == json.dumps(wanted)
