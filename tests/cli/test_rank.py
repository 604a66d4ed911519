"""`toolkit rank`, driven as a user does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from media.nearest import nearest_artifact
from photographs import picture
from PIL import Image

Command = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.usefixtures("forked_workers")

QUICK = ("--images", "images", "--at", "24x16", "--duration", "0.02", "--threads", "1")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("home")
    (directory / "images").mkdir()
    Image.fromarray(picture(40, 48)).save(directory / "images" / "a.png")
    nearest_artifact(directory)
    nearest_artifact(directory, 3)
    return directory


def test_a_ranking(home: Path, toolkit_command: Command) -> None:
    files = ("-o", "r.json", "--html", "r.html", "--markdown", "r.md")
    result = toolkit_command("rank", "nearest_x2_fp32.onnx", *QUICK, "--runtime", "ort-cpu", *files, cwd=home)
    assert result.returncode == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 100
    for word in ("nearest_x2_", "bicubic", "Pillow", "24x16 to 48x32", "gain/ms"):
        assert word in result.stdout
    assert "written: r.json, r.profile.json, r.html, r.md" in result.stderr
    assert toolkit_command("report", "r.profile.json", cwd=home).returncode == 0
    printed = toolkit_command("rank", "nearest_x2_fp32.onnx@ort-cpu", *QUICK, "--json", cwd=home)
    assert [row["network"] for row in json.loads(printed.stdout)["rows"]] == [
        row["network"] for row in json.loads((home / "r.json").read_text())["rows"]
    ]
    again = toolkit_command("rank", "nearest_x2_fp32.onnx", *QUICK, "--html", "r.html", cwd=home)
    assert (again.returncode, "r.html exists" in again.stderr) == (2, True)


@pytest.mark.parametrize("arguments", [("--runtime", "ort-cpu,tensorrt"), ("--runtime", "tensorrt")])
def test_a_runtime_that_was_named_and_did_not_run(
    arguments: tuple[str, ...], home: Path, toolkit_command: Command
) -> None:
    result = toolkit_command("rank", "nearest_x2_fp32.onnx", *QUICK, *arguments, cwd=home)
    assert result.returncode == 3, result.stderr
    assert "tensorrt: no frame time: there is no NVIDIA driver" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*QUICK,), "no network was given"),
        (("nearest_x2_fp32.onnx", "nearest_x3_fp32.onnx", *QUICK), "do not reach the same size"),
        (("nearest_x3_fp32.onnx", *QUICK[:2], "--at", "1080p-4k"), "1080p-4k needs x2"),
        (("nearest_x2_fp32.onnx", *QUICK, "--resume"), "--resume requires --output"),
        (("nearest_x2_fp32.onnx", *QUICK, "--json", "--markdown", "-"), "cannot be combined"),
        (("nearest_x2_fp32.onnx", *QUICK, "--precision", "fp8"), "no precision 'fp8'"),
        (("nearest_x2_fp32.onnx", *QUICK, "-o", "rank"), "does not have a supported suffix"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], words: str, home: Path, toolkit_command: Command) -> None:
    result = toolkit_command("rank", *arguments, cwd=home)
    assert result.returncode == 2
    assert words in " ".join(result.stderr.split())
