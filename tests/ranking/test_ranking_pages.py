"""Rankings as text: every figure is there, names are quoted, and points lie where their values say."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from profile_reports import cell
from profile_reports import report as profile_report

from toolkit.errors import OutputExists
from toolkit.quality.measurement import Metrics
from toolkit.quality.scores import SetScore
from toolkit.ranking.markdown import markdown
from toolkit.ranking.page import page
from toolkit.ranking.pages import write_pages
from toolkit.ranking.report import BICUBIC, RankingReport, Row, ordered
from toolkit.ranking.texts import remarks

HOSTILE = "<b>|a*"


def row(network: str, gain: float, median: float | None, runtime: str = "ort-cpu", **fields: object) -> Row:
    sets = tuple(SetScore(name, 1, Metrics(30 + gain, 28, 0.9, 0.9)) for name in ("Set5", "Set14"))
    known = {"psnr_y": 30 + gain, "ssim_y": 0.9, "sets": sets, "parameters": 39312, "multiply_adds": 18_800_000_000}
    return Row(network, runtime, "fp32", gain=gain, median=median, **(known | fields))


@pytest.fixture(scope="module")
def ranking() -> RankingReport:
    rows = [
        row(HOSTILE, 2.0, 0.2, peak_bytes=90_000_000),
        row("worse", -0.8, 0.1, runtime="native", arithmetic=("bf16",)),
        row("gone", 0.0, None, psnr_y=None, sets=(), reason="no driver", runtime="tensorrt"),
        row(BICUBIC, 0.0, 0.01, runtime="Pillow"),
    ]
    rows[2] = msgspec.structs.replace(rows[2], gain=None)
    rows[3] = msgspec.structs.replace(rows[3], precision=None)
    base = profile_report(cell("ort-cpu", 0.1))
    return RankingReport(
        *("1080p-4k", (1080, 1920), (2160, 3840), 2, 2, "matlab bicubic", 2),
        rows=ordered(rows),
        environment=base.environment,
        settings=base.settings,
        command="toolkit rank '<script>'",
        warnings=("the machine was busy",),
    )


def test_markdown(ranking: RankingReport) -> None:
    text = markdown(ranking)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1, "all rows have as many cells"
    cells = [part.strip() for part in lines[2].replace(r"\|", "").split("|")]
    assert cells[4:14] == ["39.3k", "18.8G", "32.000", "0.9000", "+2.000", "200.0", "–", "0.01", "90", "●"]
    assert cells[14:16] == ["32.000 / 0.9000"] * 2
    assert "<b>" not in text
    assert "**fp32→bf16**" in text
    assert "tensorrt: no frame time: no driver" in text
    assert "> warning: the machine was busy" in text


def test_points_below_bicubic_are_below_it(ranking: RankingReport) -> None:
    html = page(ranking)
    assert not re.search(r"https?://|<script|<link|<img|<b>\|a", html)
    chart = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", html, re.DOTALL)[0])
    places = {}
    for circle in chart.iter("circle"):
        title = circle.find("title")
        assert title is not None
        places[(title.text or "").partition(",")[0]] = (float(circle.get("cx", "")), float(circle.get("cy", "")))
    assert set(places) == {HOSTILE, "worse", BICUBIC}
    assert places[HOSTILE][1] < places[BICUBIC][1] < places["worse"][1]
    # 2.0 is 2.5 times as far from 0 as -0.8.
    above, below = places[BICUBIC][1] - places[HOSTILE][1], places["worse"][1] - places[BICUBIC][1]
    assert above == pytest.approx(2.5 * below, abs=0.3)
    assert places[BICUBIC][0] < places["worse"][0] < places[HOSTILE][0]


def test_remarks_name_a_runtime_once(ranking: RankingReport) -> None:
    more = msgspec.structs.replace(ranking.rows[-1], network="also gone")
    several = msgspec.structs.replace(ranking, rows=(*ranking.rows, more))
    assert remarks(several) == [("tensorrt", "no frame time: no driver")]
    there = row("here", 1.0, 0.1, runtime="tensorrt")
    some = msgspec.structs.replace(ranking, rows=(*ranking.rows, there))
    assert remarks(some) == [("gone on tensorrt fp32", "no frame time: no driver")]


def test_files_are_replaced_only_when_asked(ranking: RankingReport, tmp_path: Path) -> None:
    html, text = tmp_path / "a.html", tmp_path / "a.md"
    text.write_text("mine")
    with pytest.raises(OutputExists):
        write_pages(ranking, html, text)
    assert (html.exists(), text.read_text()) == (False, "mine")
    write_pages(ranking, html, text, overwrite=True)
    assert "<!doctype html>" in html.read_text()
    assert "1080p-4k" in text.read_text()
