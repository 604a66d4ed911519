"""Worker processes that crash cost their file only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from media.films import moving, write_film
from photographs import picture
from PIL import Image

from toolkit.errors import UnexpectedError
from toolkit.media.options import UpscaleOptions
from toolkit.media.report import UpscaleReport
from toolkit.media.upscale import upscale
from toolkit.media.videos.encoding import VideoFormat

Plant = Callable[[dict[str, str]], None]


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Statements that a worker runs when a file's turn comes, where it looks first whether it sees the file.

    Workers start as new Python processes, which import `sitecustomize`.
    """

    def planted(deeds: dict[str, str]) -> None:
        home = tmp_path / "site"
        home.mkdir()
        text = (
            "import multiprocessing, os, pathlib, signal\n"
            "real = pathlib.Path.is_file\n"
            f"deeds = {deeds!r}\n"
            "def is_file(self):\n"
            "    if self.name in deeds and multiprocessing.parent_process() is not None:\n"
            "        exec(deeds[self.name])\n"
            "    return real(self)\n"
            "pathlib.Path.is_file = is_file\n"
        )
        (home / "sitecustomize.py").write_text(text)
        before = os.environ.get("PYTHONPATH")
        monkeypatch.setenv("PYTHONPATH", f"{home}{os.pathsep}{before}" if before else str(home))

    return planted


@pytest.fixture
def options(nearest: Path) -> UpscaleOptions:
    return UpscaleOptions(models=(nearest,), threads=1, runtime="ort-cpu", jobs=2, video=VideoFormat("ffv1"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    made.mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png"):
        Image.fromarray(picture(6, 8)).save(made / name)
    write_film(made / "e.mkv", moving(2), codec="ffv1")
    return made


def outcomes(report: UpscaleReport) -> dict[str, str]:
    return {Path(item.source).name: item.outcome for item in report.files}


def test_what_fails_in_workers_costs_its_file_only(folder: Path, options: UpscaleOptions, plant: Plant) -> None:
    """A picture's worker is killed, a film's crashes, a library raises, and an output exists."""
    plant(
        {
            "b.png": "os.kill(os.getpid(), signal.SIGKILL)",
            "c.png": "raise LookupError('planted')",
            "e.mkv": "os.kill(os.getpid(), signal.SIGSEGV)",
        }
    )
    home = folder.with_name("photos_x2")
    home.mkdir()
    (home / "a.png").write_bytes(b"a good file")
    report = upscale([folder], None, options)
    assert outcomes(report) == {
        "a.png": "exists",
        "b.png": "failed",
        "c.png": "failed",
        "d.png": "done",
        "e.mkv": "failed",
    }
    assert "b.png: its worker process was killed" in report.files[1].error
    assert "LookupError: planted" in report.files[2].error
    assert "exec(deeds" in report.files[2].traceback, "where it was raised in the worker"
    assert "e.mkv: its worker process crashed (signal SIGSEGV)" in report.files[4].error
    assert sorted(path.name for path in home.iterdir()) == ["a.png", "d.png"], "nothing stays where nothing is done"
    assert (home / "a.png").read_bytes() == b"a good file"


def test_a_worker_that_crashes_once_costs_nothing(
    tmp_path: Path, folder: Path, options: UpscaleOptions, plant: Plant
) -> None:
    """As one that the system kills while others take the memory."""
    once = tmp_path / "once"
    deed = f"os.path.exists({str(once)!r}) or (open({str(once)!r}, 'w').close(), os.kill(os.getpid(), 9))"
    plant({"b.png": deed})
    assert set(outcomes(upscale([folder], None, options)).values()) == {"done"}
    assert once.exists()


def test_a_single_file(folder: Path, options: UpscaleOptions, plant: Plant) -> None:
    plant({"b.png": "os.kill(os.getpid(), signal.SIGABRT)"})
    with pytest.raises(UnexpectedError, match=r"b\.png: its worker process crashed \(signal SIGABRT\)"):
        upscale([folder / "b.png"], None, options)
