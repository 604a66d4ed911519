"""`toolkit upscale`, driven as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from media.films import moving, read_film, write_film
from media.nearest import nearest_artifact
from photographs import picture
from PIL import Image

Command = Callable[..., subprocess.CompletedProcess[str]]
TOOLKIT = Path(sys.executable).with_name("toolkit")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a network, a picture and a video."""
    directory = tmp_path_factory.mktemp("user")
    nearest_artifact(directory / "exported")
    Image.fromarray(picture(20, 30)).save(directory / "photo.jpg")
    write_film(directory / "holiday.mp4", moving(6), sound=True)
    return directory


def test_a_picture_and_a_video(home: Path, toolkit_command: Command) -> None:
    result = toolkit_command("upscale", "photo.jpg", "holiday.mp4", "--json", cwd=home)
    assert result.returncode == 0, result.stderr
    files = json.loads(result.stdout)["files"]
    assert [item["output"] for item in files] == ["photo_x2.jpg", "holiday_x2.mp4"]
    assert [item["frames"] for item in files] == [1, 6]
    assert Image.open(home / "photo_x2.jpg").size == (60, 40)
    assert len(read_film(home / "holiday_x2.mp4")) == 6
    assert "2 of 2 files" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no file was given"),
        (("nothing.png",), "there is no file or directory nothing.png"),
        (("photo.jpg", "--scale", "4"), "no network for x4"),
        (("photo.jpg", "--scale", "2", "--to", "4k"), "cannot be combined"),
        (("photo.jpg", "--to", "huge"), "is not a size"),
        (("photo.jpg", "--memory", "0"), "at least 1 MiB"),
        (("photo.jpg", "--jobs", "0"), "must be 1 to"),
        (("photo.jpg", "-o", "photo.jpg"), "overwrite itself"),
        (("photo.jpg", "-o", "/proc/nowhere/a.png"), "cannot write"),
        (("holiday.mp4", "-o", "/proc/nowhere/a.mp4"), "cannot write"),
        (("holiday.mp4", "--codec-option", "bf"), "is not NAME=VALUE"),
        (("photo.jpg", "--precision", "int8"), "has no x2 network in int8"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], words: str, home: Path, toolkit_command: Command) -> None:
    result = toolkit_command("upscale", *arguments, cwd=home)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_fails_among_others(home: Path, toolkit_command: Command) -> None:
    (home / "bad.png").write_bytes(b"nothing")
    result = toolkit_command("upscale", "photo.jpg", "bad.png", "-o", "results", cwd=home)
    assert result.returncode == 1
    assert "bad.png" in result.stderr
    assert "1 of 2 files" in result.stdout
    assert (home / "results" / "photo.jpg").is_file()


def test_a_disk_that_is_full(home: Path) -> None:
    """As a limit on the size of files, which is an error of the same kind."""
    (home / "full").mkdir()
    (home / "full" / "out.mkv").write_bytes(b"a good file")
    script = 'ulimit -f 8; exec "$@"'
    command = ["bash", "-c", script, "-", TOOLKIT, "upscale", "holiday.mp4", "-o", "full/out.mkv", "--codec", "ffv1"]
    command.append("--overwrite")
    result = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2, result.stderr
    assert "cannot write" in result.stderr
    assert "Traceback" not in result.stderr
    assert (home / "full" / "out.mkv").read_bytes() == b"a good file"
    assert [path.name for path in (home / "full").iterdir()] == ["out.mkv"]
    Image.effect_noise((300, 300), 99).save(home / "noise.png")
    picture_command = [*command[:5], "upscale", "noise.png", "-o", "full/out.tif"]
    result = subprocess.run(picture_command, cwd=home, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 2, result.stderr
    assert "cannot write full/out.tif: File too large" in result.stderr
    assert [path.name for path in (home / "full").iterdir()] == ["out.mkv"]


def test_ctrl_c(home: Path) -> None:
    long = write_film(home / "long.mkv", moving(80, 480, 640), codec="ffv1")
    process = subprocess.Popen(
        [TOOLKIT, "upscale", long.name, "--codec-option", "preset=veryslow", "--runtime", "ort-cpu"],
        cwd=home,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not (home / ".long_x2.mkv.parts").is_dir():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        _, words = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, words
    assert "Traceback" not in words
    assert not (home / "long_x2.mkv").exists()
    if (home / "long_x2.stopped.mkv").exists():
        assert 0 < len(read_film(home / "long_x2.stopped.mkv")) < 80
        assert "--resume continues" in words


def test_containers_by_option(home: Path, toolkit_command: Command) -> None:
    result = toolkit_command(
        "upscale", "holiday.mp4", "--container", "mov", "--crf", "30", "--codec-preset", "fast", cwd=home
    )
    assert result.returncode == 0, result.stderr
    with av.open(str(home / "holiday_x2.mov")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
