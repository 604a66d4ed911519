"""`toolkit evaluate --video`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from media.films import moving, write_film
from media.nearest import nearest_artifact
from photographs import picture
from PIL import Image

TOOLKIT = Path(sys.executable).with_name("toolkit")
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("home")
    nearest_artifact(directory / "exported")
    write_film(directory / "film.mp4", moving(4, 96, 128))
    write_film(directory / "low.mp4", moving(4, 48, 64))
    (directory / "photos").mkdir()
    Image.fromarray(picture(170, 260)).save(directory / "photos" / "a.png")
    return directory


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "images or videos are needed"),
        (("--images", "photos", "--video", "film.mp4"), "not both"),
        (("--video", "nothing.mp4"), "there is no file or directory nothing.mp4"),
        (("--video", "film.mp4", "--jpeg", "90"), "--jpeg does not apply to --video"),
        (("--video", "film.mp4", "--within-budget"), "--within-budget does not apply to --video"),
        (("--images", "photos", "--crf", "23"), "--crf does not apply to --images"),
        (("--video", "film.mp4", "--crf", "high"), "is not a list of whole numbers"),
        (("--video", "film.mp4", "--codec", "x264"), "'x264' is not a codec"),
        (("--video", "film.mp4", "--low", "low.mp4", "--crf", "23"), "do not apply to files"),
        (("--video", "film.mp4", "--frames", "0"), "must be at least 1"),
        (("--video", "photos", "--size", "65x48"), "must be even"),
        (("--video", "low.mp4", "--low", "film.mp4"), "film.mp4 is no x2 input of low.mp4"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], words: str, home: Path, toolkit_command: Command) -> None:
    result = toolkit_command("evaluate", *arguments, cwd=home)
    assert result.returncode == 2, result.stderr
    assert words in " ".join(result.stderr.split())
    assert not result.stdout


def test_the_command(home: Path, toolkit_command: Command) -> None:
    shared = ("evaluate", "--video", "film.mp4", "--low", "low.mp4", "--html", "page.html", "--overwrite")
    shown = toolkit_command(*shared, cwd=home)
    assert shown.returncode == 0, shown.stderr
    assert "nearest_x2_fp32" in shown.stdout and "Lanczos" in shown.stdout
    report = json.loads(toolkit_command(*shared, "--json", cwd=home).stdout)
    assert report["scales"][0]["inputs"][0]["file"] == "low.mp4"
    table = toolkit_command(*shared, "--csv", cwd=home).stdout
    assert table.startswith("scale,method,runtime,clip") and len(table.splitlines()) == 4
    assert (home / "page.html").is_file()


def test_what_was_named_and_cannot_run_is_told(home: Path, toolkit_command: Command) -> None:
    arguments = ("--video", "photos", "--size", "64x48", "--codec", "none", "--frames", "1")
    result = toolkit_command("evaluate", "exported/nearest_x2_fp32.onnx@tensorrt", *arguments, cwd=home)
    assert result.returncode == 3
    assert "did not run" in result.stdout


def test_ctrl_c_leaves_nothing(home: Path, tmp_path: Path) -> None:
    write_film(tmp_path / "long.mp4", moving(400, 192, 256))
    (tmp_path / "scratch").mkdir()
    command = [TOOLKIT, "evaluate", "--directory", home / "exported", "--video", "long.mp4", "--crf", "23"]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "scratch").rglob("*.mkv")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert not list((tmp_path / "scratch").iterdir())
