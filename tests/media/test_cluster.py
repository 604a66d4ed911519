"""A Ray cluster of two workers on this machine, one of which is killed in mid-job."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from media.films import moving, write_film
from media.nearest import nearest_artifact
from PIL import Image

from toolkit.errors import Unavailable
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.video_file import read_video

ray = pytest.importorskip("ray", reason="Ray is not installed")

pytestmark = pytest.mark.slow


def workers() -> list[psutil.Process]:
    """Processes that Ray has started for tasks of ours."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name().startswith("ray::attempt_task") or "ray::attempt_task" in " ".join(process.cmdline()[:1]):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_one(killed: list[int], giving_up: threading.Event) -> None:
    while not giving_up.is_set() and not killed:
        for process in workers()[:1]:
            os.kill(process.pid, signal.SIGKILL)
            killed.append(process.pid)
        time.sleep(0.005)


def test_a_worker_that_dies_changes_nothing(tmp_path: Path) -> None:
    network = nearest_artifact(tmp_path / "network").path
    options = UpscaleOptions(models=(network,), threads=1, video=VideoFormat())
    films = tmp_path / "in"
    films.mkdir()
    # A key frame a frame, far apart in time: a task each.
    write_film(films / "a.mp4", moving(8, 240, 320), times=[260 * n for n in range(8)], options={"g": "1"}, sound=True)
    Image.effect_mandelbrot((64, 48), (-2, -1, 1, 1), 50).save(films / "b.png")
    assert len(read_video(films / "a.mp4").segments) == 8
    upscale([films], tmp_path / "alone", options)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    killed: list[int] = []
    giving_up = threading.Event()
    try:
        assassin = threading.Thread(target=kill_one, args=(killed, giving_up))
        assassin.start()
        report = upscale([films], tmp_path / "together", replace(options, ray="auto"))
        giving_up.set()
        assassin.join()
    finally:
        giving_up.set()
        ray.shutdown()
    assert killed, "nobody was killed"
    assert [item.outcome for item in report.files] == ["done", "done"]
    for name in ("a.mp4", "b.png"):
        assert (tmp_path / "together" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_what_fails_on_the_cluster_costs_its_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that kills every worker that takes it, and one in which a library raises."""
    home, folder = tmp_path / "site", tmp_path / "photos"
    home.mkdir()
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.effect_mandelbrot((16, 12), (-2, -1, 1, 1), 50).save(folder / name)
    (home / "sitecustomize.py").write_text(
        "import os, pathlib, sys\n"
        "real = pathlib.Path.is_file\n"
        "def is_file(self):\n"
        "    worker = any('default_worker' in word for word in sys.argv) or 'ray' in sys.modules\n"
        "    if worker and self.name == 'a.png':\n"
        "        os.kill(os.getpid(), 9)\n"
        "    if worker and self.name == 'b.png':\n"
        "        raise LookupError('planted')\n"
        "    return real(self)\n"
        f"if os.getpid() != {os.getpid()}:\n"
        "    pathlib.Path.is_file = is_file\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{home}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    network = nearest_artifact(tmp_path / "network").path
    report = upscale([folder], None, UpscaleOptions(models=(network,), threads=1, ray="local"))
    assert [item.outcome for item in report.files] == ["failed", "failed", "done"]
    assert "a.png: a task failed on the cluster 4 times" in report.files[0].error
    assert "b.png: LookupError: planted" in report.files[1].error
    assert "in is_file" in report.files[1].traceback


def test_no_cluster_is_said(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    network = nearest_artifact(tmp_path / "network").path
    with pytest.raises(Unavailable, match="no Ray cluster at 127"):
        upscale([tmp_path / "a.png"], None, UpscaleOptions(models=(network,), ray="127.0.0.1:1"))
