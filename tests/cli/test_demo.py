"""`toolkit demo`, and the page that it writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from toolkit.artifact import Artifact
from toolkit.cli.console import print_documents
from toolkit.demonstration.demo import picture
from toolkit.demonstration.page import page
from toolkit.demonstration.report import DemoReport, FrameTime

Command = Callable[..., CompletedProcess[str]]


def report(**changes: object) -> DemoReport:
    fields: dict[str, object] = {
        "page": Path("demo/index.html"),
        "artifact": Path("demo/a_fp32.onnx"),
        "onnx_bytes": 1234,
        "parameters": (20, 10),
        "checks": 7,
        "passed": True,
        "largest_error": 1e-15,
        "psnr_y": {"bicubic": 30.0, "Lanczos": 30.5, "RT4KSR": 32.25},
        "workload": "1080p-4k",
        "frame_times": (FrameTime("native", 0.1), FrameTime("ort-cpu", None, "not <installed>")),
        "seconds": {"export": 5.0, "proof": 6.0, "upscaling": 1.0, "frame times": 7.0},
    }
    return DemoReport(**{**fields, **changes})  # type: ignore[arg-type]


VIEWS = {
    name: np.full((6, 8, 3), 10 * n, np.uint8) for n, name in enumerate(("bicubic", "Lanczos", "RT4KSR", "original"))
}


def test_the_page_says_what_was_measured() -> None:
    text = page(report(), VIEWS, "A <photographer>")
    assert "2.2 dB closer to the original than bicubic interpolation, and 1.8 dB closer than Lanczos" in text
    assert "native 100 ms (10.0 frames per second); ort-cpu: not &lt;installed&gt;" in text
    assert "A &lt;photographer&gt;" in text
    assert text.count("data:image/png") == 4
    assert "all 7 checks passed" in text


def test_the_page_says_that_a_check_failed() -> None:
    text = page(report(passed=False), VIEWS, "")
    assert "a check FAILED" in text
    assert "checks passed" not in text


def test_the_report_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_documents([report()])
    found = json.loads(capsys.readouterr().out)
    assert (found["page"], found["checks"]) == (str(Path("demo/index.html")), 7)


def test_the_picture_is_as_the_page_expects() -> None:
    assert picture().shape == (320, 384, 3)


@pytest.mark.slow
def test_a_run_from_nothing(tmp_path: Path, toolkit_command: Command) -> None:
    result = toolkit_command("demo", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert Artifact.read(tmp_path / found["artifact"]).manifest.network.scale == 2
    # The gain of the bundled weights over bicubic is 1 to 3 dB on photographs.
    assert 1 < found["psnr_y"]["RT4KSR"] - found["psnr_y"]["bicubic"] < 3
    assert all(time["seconds"] for time in found["frame_times"])
    text = (tmp_path / "demo" / "index.html").read_text()
    assert re.search(r"all \d+ checks passed", text)
    again = toolkit_command("demo", cwd=tmp_path)
    assert again.returncode == 2
    assert "index.html exists" in " ".join(again.stderr.split())
