"""The HTML page in a real browser: charts are drawn, nothing is fetched, no script complains."""

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from profile_reports import cell, report

from toolkit.pages.axes import Axis, spanning
from toolkit.profiling.reporting.page import page
from toolkit.profiling.reporting.report import ProfileReport
from toolkit.profiling.reporting.side_by_side import TitledReport

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")
CHARTS = 7
"""Frame times, deadlines, quality, roofline, memory, cold start, and the layers of each cell with some."""


@pytest.fixture(scope="module")
def made() -> ProfileReport:
    return report(
        cell("torch-unfused", 3.6, frames=1),
        cell("ort-cpu", 0.5),
        cell("openvino", 0.02, precision="bf16", noise=0.2, frames=20),
    )


def charts(html: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]


def test_every_cell_is_in_every_chart(made: ProfileReport) -> None:
    html = page([TitledReport("report", made)])
    drawn = charts(html)
    assert len(drawn) == CHARTS - 1 + len(made.cells)
    for chart in drawn[: CHARTS - 1]:
        text = " ".join(chart.itertext())
        for name in ("torch-unfused fp32", "ort-cpu fp32", "openvino bf16"):
            assert name in text
    numbers = [value for chart in drawn for node in chart.iter() for value in node.attrib.values()]
    assert not [value for value in numbers if "nan" in value.lower().split() or value == "inf"]
    assert "toolkit profile" in html


def test_nothing_is_fetched_and_names_are_text(made: ProfileReport) -> None:
    html = page([TitledReport("<b>&", report(*made.cells, command="toolkit profile '<script>'"))])
    assert not re.search(r"https?://|<script|<link|<img|@import|url\(", html)
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;&amp;" in page([TitledReport("<b>&", made), TitledReport("other", made)])


def test_axes_put_values_where_they_belong() -> None:
    linear, decades = Axis(0, 50, 0, 100), Axis(1, 1000, 0, 300, True)
    assert linear.at(25) == 50
    assert linear.ticks() == [0, 10, 20, 30, 40, 50]
    assert decades.at(10) == pytest.approx(100)
    assert set(decades.ticks()) >= {1, 10, 100, 1000}
    assert spanning([3.0, 3.0], 0, 1, logarithmic=True).at(3.0) == pytest.approx(0.5)
    for top in (1e-6, 0.7, 3, 99, 12345):
        assert 3 <= len(Axis(0, top, 0, 1).ticks()) <= 7


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="there is no Chromium (Debian: apt install chromium)")
@pytest.mark.parametrize(("width", "scheme"), [(1300, 1), (1300, 0), (500, 1)], ids=["light", "dark", "phone"])
def test_a_browser_draws_the_charts(width: int, scheme: int, made: ProfileReport, tmp_path: Path) -> None:
    path, picture = tmp_path / "report.html", tmp_path / "report.png"
    path.write_text(page([TitledReport("report", made)]))
    browser = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
    browser += [f"--user-data-dir={tmp_path}/user", f"--blink-settings=preferredColorScheme={scheme}"]
    options = [f"--window-size={width},3200", f"--screenshot={picture}", path.as_uri()]
    done = subprocess.run([*browser, *options], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert pixels.shape[1] == width
    page_is_dark = pixels[2, 2].sum() < 3 * 80
    assert page_is_dark == (scheme == 0)
    # Colours of the charts, and a page that is not wider than the window: its margin is empty from top to bottom.
    wanted = {0: [(0x46, 0xC2, 0x7F), (0xFF, 0x7A, 0x70)], 1: [(0x1A, 0x7F, 0x4B), (0xC9, 0x3A, 0x32)]}[scheme]
    for colour in wanted:
        assert (np.abs(pixels - colour).max(axis=2) < 8).sum() > 200
    assert (pixels[:, -4] == pixels[2, 2]).all()
