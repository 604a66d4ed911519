"""`--resume`: what earlier runs of the command had done is not done again, and nothing else is taken for it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from media.films import moving, write_film
from photographs import picture
from PIL import Image

from toolkit.errors import OutputExists
from toolkit.media import upscale as job
from toolkit.media.options import UpscaleOptions
from toolkit.media.pictures.output import PictureFormat
from toolkit.media.report import UpscaleReport
from toolkit.media.upscale import upscale
from toolkit.media.videos.encoding import VideoFormat


@pytest.fixture
def options(nearest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UpscaleOptions:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return UpscaleOptions(models=(nearest,), threads=1, runtime="ort-cpu", video=VideoFormat("ffv1"))


@pytest.fixture
def interrupted(tmp_path: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four files of which a run that was killed in the third had done two."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "c.png", "d.png"):
        Image.fromarray(picture(6, 8)).save(folder / name)
    write_film(folder / "b.mkv", moving(2), codec="ffv1")
    real = job.upscale_image

    def killed(source: Path, *arguments: Any, **settings: Any) -> tuple[str, ...]:
        if source.name == "c.png":
            raise SystemExit(143)
        return real(source, *arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(job, "upscale_image", killed)
        with pytest.raises(SystemExit):
            upscale([folder], None, options)
    assert sorted(path.name for path in (tmp_path / "photos_x2").iterdir()) == ["a.png", "b.mkv"]
    return folder


def outcomes(report: UpscaleReport) -> dict[str, tuple[str, bool]]:
    return {Path(item.source).name: (item.outcome, item.earlier) for item in report.files}


def records(home: Path) -> list[Path]:
    return list((home / "cache" / "rt4ksr-toolkit" / "runs").glob("*"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_done_is_not_done_again(jobs: int, interrupted: Path, options: UpscaleOptions) -> None:
    result = interrupted.with_name("photos_x2") / "a.png"
    before = result.stat().st_mtime_ns
    report = upscale([interrupted], None, replace(options, resume=True, jobs=jobs))
    assert outcomes(report) == {
        "a.png": ("done", True),
        "b.mkv": ("done", True),
        "c.png": ("done", False),
        "d.png": ("done", False),
    }
    assert report.complete
    assert result.stat().st_mtime_ns == before
    again = upscale([interrupted], None, replace(options, resume=True, jobs=jobs))
    assert set(outcomes(again).values()) == {("done", True)}


@pytest.mark.parametrize("name", ["film.mkv", "photo.png"])
def test_a_finished_file_is_complete_already(name: str, options: UpscaleOptions, tmp_path: Path) -> None:
    """A film and a picture alike, however often, until it is changed; without --resume its output exists."""
    source, output = tmp_path / name, tmp_path / f"out{Path(name).suffix}"
    if name == "film.mkv":
        write_film(source, moving(2), codec="ffv1")
    else:
        Image.fromarray(picture(6, 8)).save(source)
    upscale([source], output, options)
    before = output.stat().st_mtime_ns
    for _ in range(2):
        report = upscale([source], output, replace(options, resume=True))
        assert outcomes(report) == {name: ("done", True)}
    assert output.stat().st_mtime_ns == before
    with pytest.raises(OutputExists):
        upscale([source], output, options)
    upscale([source], output, replace(options, overwrite=True))
    (record,) = records(tmp_path)
    assert len(record.read_bytes().splitlines()) == 1
    output.write_bytes(b"another's")
    with pytest.raises(OutputExists):
        upscale([source], output, replace(options, resume=True))


def test_old_records_are_removed(interrupted: Path, options: UpscaleOptions) -> None:
    (old,) = records(interrupted.parent)
    upscale([interrupted], interrupted.with_name("second"), options)
    assert old.exists()
    long_ago = time.time() - 91 * 86400
    os.utime(old, (long_ago, long_ago))
    upscale([interrupted], interrupted.with_name("third"), options)
    assert len(records(interrupted.parent)) == 2
    assert not old.exists()


def test_without_resume_all_that_exists_is_reported(interrupted: Path, options: UpscaleOptions) -> None:
    found = outcomes(upscale([interrupted], None, options))
    assert (found["a.png"], found["c.png"]) == (("exists", False), ("done", False))
    assert records(interrupted.parent)


def test_what_was_changed_since_is_not_taken_for_done(interrupted: Path, options: UpscaleOptions) -> None:
    Image.fromarray(picture(8, 8)).save(interrupted / "a.png")
    (interrupted.with_name("photos_x2") / "b.mkv").write_bytes(b"another's")
    found = outcomes(upscale([interrupted], None, replace(options, resume=True)))
    assert (found["a.png"], found["b.mkv"]) == (("exists", False), ("exists", False))
    assert (interrupted.with_name("photos_x2") / "b.mkv").read_bytes() == b"another's"


@pytest.mark.parametrize("change", [{"picture": PictureFormat(quality=50)}, {"video": VideoFormat("libx264")}], ids=str)
def test_another_command_did_not_do_it(change: Any, interrupted: Path, options: UpscaleOptions) -> None:
    found = outcomes(upscale([interrupted], None, replace(options, resume=True, **change)))
    assert found["a.png"] == ("exists", False)


def test_a_record_that_cannot_be_read_or_written(
    interrupted: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that a killed run was writing is passed over; without a cache there is no record, and no error."""
    (record,) = records(interrupted.parent)
    content = record.read_bytes()
    record.write_bytes(b"\xff nothing\n" + content[: len(content) * 3 // 4])
    found = outcomes(upscale([interrupted], None, replace(options, resume=True)))
    assert (found["a.png"], found["b.mkv"]) == (("done", True), ("exists", False))
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    found = outcomes(upscale([interrupted], interrupted.with_name("other"), replace(options, resume=True)))
    assert set(found.values()) == {("done", False)}
