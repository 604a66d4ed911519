"""What `upscale --dry-run` says is what `upscale` then does, and it writes nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from media.films import moving, write_film
from media.nearest import nearest_artifact
from photographs import picture
from PIL import Image

from toolkit.errors import InputError
from toolkit.media.dry_run import UpscalePlan, dry_run
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import Target
from toolkit.media.upscale import upscale

FRAMES = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_film(folder / "film.mp4", moving(FRAMES))
    Image.fromarray(picture(40, 56)).save(folder / "large.png")
    Image.fromarray(picture(20, 28)).save(folder / "small.png")
    (folder / "wrong.png").write_bytes(b"\x89PNG\r\n\x1a\n not a picture")
    return folder


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    network = nearest_artifact(tmp_path_factory.mktemp("nearest"))
    return UpscaleOptions(Target.of(2, None), (network.path,), runtime="ort-cpu", threads=1)


@pytest.fixture(scope="module")
def plan(folder: Path, options: UpscaleOptions) -> UpscalePlan:
    return dry_run([folder], None, options)


def test_the_plan_is_what_is_done(folder: Path, options: UpscaleOptions, plan: UpscalePlan) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    planned = {Path(item.source).name: item for item in plan.files}
    assert {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")} == before, "nothing is written"
    report = upscale([folder], None, options)
    done = {Path(item.source).name: item for item in report.files}
    assert done.keys() == planned.keys() == {"film.mp4", "large.png", "small.png", "wrong.png"}
    for name in ("film.mp4", "large.png", "small.png"):
        assert (planned[name].output, planned[name].frames, planned[name].scale) == (
            done[name].output,
            done[name].frames,
            done[name].scale,
        )
        assert planned[name].seconds > 0
    assert planned["film.mp4"].size == (64, 48) and planned["film.mp4"].result == (128, 96)
    assert planned["large.png"].result == (112, 80)
    # The key frames of a film are larger than the others, and a sample has more of them.
    assert planned["film.mp4"].bytes == pytest.approx(Path(done["film.mp4"].output).stat().st_size, rel=0.6)
    assert planned["large.png"].bytes == Path(done["large.png"].output).stat().st_size
    assert planned["small.png"].bytes == pytest.approx(planned["large.png"].bytes / 4, abs=1), "by its size"


def test_a_file_that_would_fail_is_named(plan: UpscalePlan) -> None:
    assert not plan.complete
    (failed,) = (item for item in plan.files if item.error)
    assert Path(failed.source).name == "wrong.png" and "wrong.png" in failed.error
    assert (failed.frames, failed.bytes) == (0, 0)


def test_several_processes_share_the_work(folder: Path, options: UpscaleOptions, plan: UpscalePlan) -> None:
    assert (plan.jobs, plan.seconds) == (1, sum(item.seconds for item in plan.files))
    shared = dry_run([folder], None, replace(options, jobs=2))
    times = [item.seconds for item in shared.files]
    assert shared.jobs == 2
    assert [item.parts for item in shared.files] == [1, 1, 1, 1], "so short a film is one segment"
    assert shared.seconds == max(sum(times) / 2, *times)


def test_disks_without_room_for_the_results_are_named(
    folder: Path, options: UpscaleOptions, plan: UpscalePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    (space,) = plan.spaces
    sizes = {Path(item.source).name: item.bytes for item in plan.files}
    # The encoded parts of a film stay until it is complete.
    assert space.needed == sum(sizes.values()) + sizes["film.mp4"]
    assert (space.directory, space.needed < space.free) == (str(folder.parent), True)
    pictures = [folder / "large.png", folder / "small.png"]
    needed = sum(sizes[path.name] for path in pictures)
    for free, complete in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        checked = dry_run(pictures, folder.parent / "elsewhere", options)
        assert (checked.spaces[0].free, checked.spaces[0].needed, checked.complete) == (free, needed, complete)


def test_existing_outputs_are_named(tmp_path: Path, options: UpscaleOptions) -> None:
    source = tmp_path / "in.png"
    Image.fromarray(picture(20, 28)).save(source)
    (tmp_path / "in_x2.png").write_bytes(b"mine")
    (item,) = dry_run([source], None, options).files
    assert "in_x2.png exists" in item.error
    assert (tmp_path / "in_x2.png").read_bytes() == b"mine"


@pytest.mark.parametrize("output", ["file/in.png", "file/deeper/in.png"])
def test_a_place_that_is_no_directory(output: str, tmp_path: Path, options: UpscaleOptions) -> None:
    Image.fromarray(picture(20, 28)).save(tmp_path / "in.png")
    (tmp_path / "file").touch()
    (item,) = dry_run([tmp_path / "in.png"], tmp_path / output, options).files
    assert item.error == f"cannot write {tmp_path / output}: {tmp_path / 'file'} is not a directory"
    with pytest.raises(InputError, match="cannot write"):
        upscale([tmp_path / "in.png"], tmp_path / output, options)


def test_errors_are_those_of_the_run(tmp_path: Path, options: UpscaleOptions) -> None:
    Image.fromarray(picture(20, 28)).save(tmp_path / "in.png")
    output = tmp_path / "in.mp4"
    (item,) = dry_run([tmp_path / "in.png"], output, options).files
    with pytest.raises(InputError) as caught:
        upscale([tmp_path / "in.png"], output, options)
    assert (item.error, item.remedy) == (caught.value.args[0], caught.value.remedy)
    assert str(output) in item.error, "and not the sample's path"


def test_what_a_run_left_is_not_estimated(folder: Path, options: UpscaleOptions) -> None:
    with pytest.raises(InputError, match="a dry run estimates whole files"):
        dry_run([folder], None, replace(options, resume=True))
