"""Two runs with one output: the second is refused while the first lives, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from media.films import moving, read_film, write_film
from media.nearest import nearest_artifact

from toolkit.errors import InputError
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos import video_file
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.parts import Parts
from toolkit.system import lock
from toolkit.system.lock import Busy, Lock


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), threads=1, runtime="ort-cpu", video=VideoFormat("ffv1"))


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    path = tmp_path / "parts" / "lock"
    held = Lock.take(path)
    with pytest.raises(Busy, match=rf"another run \(process {os.getpid()}\)"):
        Lock.take(path)
    held.release()
    held.release()
    assert not path.parent.exists()
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "000000.part").write_bytes(b"hours of work")
    path.write_text("1")  # of a process that was killed; that number lives
    Lock.take(path).release()
    assert [item.name for item in path.parent.iterdir()] == ["000000.part"]


def test_a_lock_that_was_removed_in_between_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run before ends between our opening its file and locking it: a third would lock a new file."""
    path, real, times = tmp_path / "lock", lock._lock, []

    def removed_meanwhile(descriptor: int, path: Path) -> None:
        if not times:
            path.unlink()
        times.append(descriptor)
        real(descriptor, path)

    monkeypatch.setattr(lock, "_lock", removed_meanwhile)
    held = Lock.take(path)
    assert len(times) == 2
    with pytest.raises(Busy):
        Lock.take(path)
    held.release()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("mine")
    (tmp_path / "lock").symlink_to(tmp_path / "letter")
    with pytest.raises(InputError, match="cannot write"):
        Lock.take(tmp_path / "lock")
    assert (tmp_path / "letter").read_text() == "mine"


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_second_run_is_refused(tmp_path: Path, options: UpscaleOptions, jobs: int) -> None:
    source, output = write_film(tmp_path / "in.mkv", moving(4), codec="ffv1"), tmp_path / "out.mkv"
    options = replace(options, jobs=jobs)
    first = Parts.beside(output)
    held = first.lock()
    first.begin({"job": 1}, resume=False)
    for asked in (options, replace(options, overwrite=True), replace(options, resume=True)):
        with pytest.raises(Busy, match="works on the same output"):
            upscale([source], output, asked)
        assert (first.directory / "plan.json").is_file()
    held.release()
    (report,) = upscale([source], output, replace(options, overwrite=True)).files
    assert (report.outcome, report.frames) == ("done", 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mkv"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from toolkit.media.videos import video_file
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.run import VideoRun
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale

take = VideoRun.take
def killed(film, part):
    take(film, part)
    os.kill(os.getpid(), signal.SIGKILL)
VideoRun.take, video_file.SEGMENT_SECONDS = killed, 0.15
model, source, output = map(Path, sys.argv[1:])
upscale([source], output, UpscaleOptions(models=(model,), threads=1, runtime="ort-cpu", video=VideoFormat("ffv1")))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is of POSIX")
def test_a_killed_run_is_continued(tmp_path: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_film(tmp_path / "in.mkv", moving(12), codec="ffv1", options={"g": "1"})
    output = tmp_path / "out.mkv"
    arguments = [sys.executable, "-c", _KILLED, options.models[0], source, output]
    killed = subprocess.run(arguments, capture_output=True, text=True, timeout=100, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = Parts.beside(output).directory
    assert (left / "lock").is_file()
    assert (left / "000000.part").is_file()
    monkeypatch.setattr(video_file, "SEGMENT_SECONDS", 0.15)
    (report,) = upscale([source], output, replace(options, resume=True)).files
    assert (report.outcome, report.frames) == ("done", 12)
    assert len(read_film(output)) == 12
    assert not left.exists()
