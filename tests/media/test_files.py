"""Which files a run takes, and that each result has a name of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from photographs import picture
from PIL import Image

from toolkit.errors import InputError
from toolkit.media import files
from toolkit.media.files import Naming, find_items

PLAIN = Naming(None, "_x2", None, None)


def draw(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(4, 4)).save(path)


def names(found: files.Found, root: Path) -> dict[str, str]:
    return {str(item.source.relative_to(root)): str(item.output.relative_to(root)) for item in found.items}


def test_two_inputs_for_one_output_are_both_named(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", tmp_path / "a.bmp", tmp_path / "sub" / "a.png")
    with pytest.raises(InputError, match=r"a\.bmp and .*a\.png would both be written to .*a_x2\.png"):
        find_items([tmp_path / "a.bmp", tmp_path / "a.png"], PLAIN)
    with pytest.raises(InputError, match=r"a\.png and .*sub/a\.png would both be written to .*out/a\.png"):
        find_items([tmp_path / "a.png", tmp_path / "sub" / "a.png"], Naming(tmp_path / "out", "_x2", None, None))
    with pytest.raises(InputError, match=r"a\.png was given twice"):
        find_items([tmp_path / "a.png", tmp_path / "sub" / ".." / "a.png"], PLAIN)


def test_several_results_need_a_folder(tmp_path: Path) -> None:
    """Found before the work, not once for each of them."""
    draw(tmp_path / "a.png", tmp_path / "b.png", tmp_path / "folder" / "c.png", tmp_path / "out.png")
    naming = Naming(tmp_path / "out.png", "_x2", None, None)
    for given in [tmp_path / "a.png", tmp_path / "b.png"], [tmp_path / "a.png", tmp_path / "folder"]:
        with pytest.raises(InputError, match=r"out\.png is a file, but several results need a folder"):
            find_items(given, naming)
    with pytest.raises(InputError, match=r"out\.png is a file, and a folder is upscaled into a folder"):
        find_items([tmp_path / "folder"], naming)
    assert [item.output for item in find_items([tmp_path / "a.png"], naming).items] == [tmp_path / "out.png"]


def test_two_ways_to_one_folder_are_one_output(tmp_path: Path) -> None:
    draw(tmp_path / "real" / "a.png", tmp_path / "real" / "a.bmp")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(InputError, match="would both be written to"):
        find_items([tmp_path / "real" / "a.png", tmp_path / "link" / "a.bmp"], PLAIN)


def test_names_that_differ_in_case_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "a.png", tmp_path / "A.png")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system does not distinguish case")
    assert len(find_items([tmp_path], PLAIN).items) == 2
    assert not (tmp_path.with_name(f"{tmp_path.name}_x2")).exists(), "nothing stays of the trial"
    monkeypatch.setattr(files, "_distinguishes_case", lambda _directory: False)
    with pytest.raises(InputError, match="does not distinguish case"):
        find_items([tmp_path], PLAIN)


def test_results_of_an_earlier_run_are_left_out(tmp_path: Path) -> None:
    """As a shell's `*.png` takes them the second time, and as they lie in folders."""
    draw(*(tmp_path / name for name in ("a.png", "a_x2.png", "b_x2.png", "trip/c.png", "trip_x2/c.png")))
    listed = find_items([tmp_path / "a.png", tmp_path / "a_x2.png", tmp_path / "b_x2.png"], PLAIN)
    assert names(listed, tmp_path) == {"a.png": "a_x2.png", "b_x2.png": "b_x2_x2.png"}
    (left,) = listed.left_out
    assert (left.source, "a.png goes" in left.reason) == (str(tmp_path / "a_x2.png"), True)
    found = find_items([tmp_path], Naming(tmp_path / "out", "_x2", None, None))
    assert sorted(names(found, tmp_path)) == ["a.png", "b_x2.png", "trip/c.png"]
    assert sorted(Path(left.source).name for left in found.left_out) == ["a_x2.png", "trip_x2"]
    draw(tmp_path / "out" / "a.png")
    again = find_items([tmp_path], Naming(tmp_path / "out", "_x2", None, None))
    assert again.items == found.items
    with pytest.raises(InputError, match="holds only results of earlier runs"):
        (tmp_path / "late" / "trip").mkdir(parents=True)
        draw(tmp_path / "late" / "trip_x2" / "c.png")
        find_items([tmp_path / "late"], PLAIN)
    assert names(find_items([tmp_path / "a_x2.png"], PLAIN), tmp_path) == {"a_x2.png": "a_x2_x2.png"}


def test_what_cannot_be_looked_at_is_reported(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", tmp_path / "closed" / "b.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "closed").chmod(0)
    try:
        found = find_items([tmp_path], PLAIN)
        listable = os.access(tmp_path / "closed", os.R_OK)
    finally:
        (tmp_path / "closed").chmod(0o700)
    # A broken link is an input, so that it fails with a line of its own.
    assert {"a.png", "gone.png"} <= {item.source.name for item in found.items}
    assert "pipe.png" not in {item.source.name for item in found.items}
    if not listable:
        assert [(item.kind, item.outcome) for item in found.unreadable] == [("folder", "failed")]


def test_a_folder_that_cannot_be_listed_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For root nothing is closed, so the system's refusal is planted."""
    draw(tmp_path / "a.png", tmp_path / "closed" / "b.png")
    real = os.scandir

    def scandir(path: str) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_items([tmp_path], PLAIN)
    assert [item.source.name for item in found.items] == ["a.png"]
    (report,) = found.unreadable
    assert (report.kind, report.outcome) == ("folder", "failed")
    assert "Permission denied" in report.error


def test_a_misspelt_name_gets_its_neighbours(tmp_path: Path) -> None:
    draw(tmp_path / "holiday.png")
    with pytest.raises(InputError, match=r"no file or directory .*holyday\.png") as caught:
        find_items([tmp_path / "holyday.png"], PLAIN)
    assert "holiday.png" in caught.value.remedy
    with pytest.raises(InputError, match="neither a file nor a folder"):
        find_items([Path(os.devnull)], PLAIN)


def test_paths_that_do_not_exist_are_failures_beside_others(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    found = find_items([tmp_path / "b.png", tmp_path / "a.png", Path(os.devnull)], PLAIN)
    assert [item.source.name for item in found.items] == ["a.png"]
    assert [(report.source, report.kind, report.outcome) for report in found.unreadable] == [
        (str(tmp_path / "b.png"), "image", "failed"),
        (os.devnull, "folder", "failed"),
    ]
    with pytest.raises(InputError, match=r"no file or directory .*b\.png"):
        find_items([tmp_path / "b.png", tmp_path / "c.png"], PLAIN)
