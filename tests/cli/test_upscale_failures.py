"""What `toolkit upscale` says and returns when something is wrong, in this process: a command each would take long."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from media.films import moving, write_film
from media.nearest import nearest_artifact
from photographs import picture
from PIL import Image

from toolkit.cli import main
from toolkit.media import upscale as job
from toolkit.runtimes.registry import RUNTIMES
from toolkit.system.probe import Availability

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: a network, and a folder with two good files among two broken ones."""
    nearest_artifact(tmp_path / "exported")
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(picture(6, 8)).save(photos / "good.png")
    (photos / "broken.png").write_bytes((photos / "good.png").read_bytes()[:60])
    (photos / "text.mp4").write_text("no film")
    write_film(photos / "film.mkv", moving(2), codec="ffv1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    before = signal.getsignal(signal.SIGTERM)

    def toolkit(*arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        runtime = () if "--runtime" in arguments else ("--runtime", "ort-cpu")
        monkeypatch.setattr(sys, "argv", ["toolkit", "upscale", *arguments, *runtime])
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return (code, *capsys.readouterr())

    yield toolkit
    signal.signal(signal.SIGTERM, before)


def plant(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: Any, **_settings: Any) -> tuple[str, ...]:
        raise LookupError("planted")

    monkeypatch.setattr(job, "upscale_image", fails)


def test_a_folder(home: Path, run: Run) -> None:
    (home / "photos_x2").mkdir()
    (home / "photos_x2" / "good.png").write_bytes(b"mine")
    code, out, err = run("photos", "--codec", "ffv1")
    assert code == 1
    assert "1 of 4 files" in out
    for words in ("failed: ", "broken.png", "text.mp4", "not done: photos_x2/good.png exists", "--overwrite"):
        assert words in err
    assert "Traceback" not in err
    assert (home / "photos_x2" / "good.png").read_bytes() == b"mine"
    code, out, err = run("photos", "--codec", "ffv1", "--overwrite", "--json", "--verbose")
    assert code == 1
    assert "Traceback" in err
    files = {Path(item["source"]).name: item for item in json.loads(out)["files"]}
    assert {name: item["outcome"] for name, item in files.items()} == {
        "broken.png": "failed",
        "film.mkv": "done",
        "good.png": "done",
        "text.mp4": "failed",
    }
    assert "Traceback" in files["broken.png"]["traceback"]
    assert files["good.png"]["traceback"] == ""


def test_a_fault_of_the_toolkit(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one file its exit code is 1: the command was right. Without --verbose nobody sees a traceback."""
    plant(monkeypatch)
    code, _, err = run("photos/good.png")
    assert (code, "Traceback" in err) == (1, False)
    assert "photos/good.png: LookupError: planted" in err
    assert "bug in the toolkit" in err
    code, _, err = run("photos/good.png", "--verbose")
    assert (code, "Traceback" in err) == (1, True)
    code, out, _ = run("photos", "--codec", "ffv1")
    assert (code, "1 of 4 files" in out) == (1, True)


def test_one_bad_file_has_the_exit_code_of_its_error(home: Path, run: Run) -> None:
    assert run("photos/broken.png")[0] == 2
    Image.fromarray(picture(6, 8)).save(home / "out.png")
    code, _, err = run("photos/good.png", "-o", "out.png")
    assert (code, "out.png exists" in err, "--overwrite" in err) == (2, True, True)
    assert run("photos/good.png", "-o", "out.png", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--runtime", "ort-cup"), "Did you mean ort-cpu"),
        (("--model", "exported/nearest_x2_fp23.onnx"), "Did you mean nearest_x2_fp32.onnx"),
        (("--scale", "3", "--model", "exported/nearest_x2_fp32.onnx"), "none of the given networks upscales x3"),
        (("--codec", "libx246"), "libx264"),
        (("--codec", "libx264", "--codec-preset", "meduim"), "Did you mean medium"),
        (("--codec", "libx264", "--crf", "99"), "0 to 51"),
        (("--codec", "ffv1", "--crf", "20"), "ffv1 has no option crf"),
        (("--codec-option", "frobnicate=1"), "has no option frobnicate"),
        (("--precision", "int8"), "has no x2 network in int8"),
    ],
)
def test_options_are_checked_before_the_first_file(
    arguments: tuple[str, ...], words: str, home: Path, run: Run
) -> None:
    code, _, err = run("photos", *arguments)
    assert code == 2
    assert words in err.replace("\n", " ")
    assert "failed:" not in err
    assert not (home / "photos_x2").exists()


def test_a_runtime_that_does_not_work_here(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(RUNTIMES["ort-cpu"]), "probe", lambda _: Availability(False, "no wheels", "Get some."))
    code, _, err = run("photos")
    assert (code, "ort-cpu does not work here: no wheels" in err, "Get some." in err) == (3, True, True)
    assert not (home / "photos_x2").exists()


def test_a_network_that_the_runtime_cannot_load(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error, not one for each file."""

    def fails(*_arguments: Any) -> None:
        raise LookupError("planted")

    monkeypatch.setattr(type(RUNTIMES["ort-cpu"]), "load", fails)
    code, _, err = run("photos")
    assert (code, err.count("LookupError: planted"), "nearest_x2_fp32.onnx" in err) == (1, 1, True)
    assert not (home / "photos_x2").exists()


def test_results_of_the_first_run_are_no_inputs_of_the_second(home: Path, run: Run) -> None:
    assert run("photos/good.png")[0] == 0
    code, _, err = run("photos/good.png", "photos/good_x2.png", "--overwrite")
    assert code == 0
    assert "skipped: photos/good_x2.png" in err
    assert not (home / "photos" / "good_x2_x2.png").exists()
    code, _, err = run("photos/good.png", "photos/good.png")
    assert (code, "photos/good.png was given twice" in err) == (2, True)


def test_a_second_run_says_once_what_to_do(home: Path, run: Run) -> None:
    for name in ("broken.png", "text.mp4"):
        (home / "photos" / name).unlink()
    assert run("photos", "--codec", "ffv1")[0] == 0
    code, _, err = run("photos", "--codec", "ffv1")
    assert code == 1
    assert err.count("not done: ") == 2
    assert err.count("--overwrite") == 1
    assert err.rstrip().endswith("--overwrite to replace it.")


def test_names_do_not_break_lines(home: Path, run: Run) -> None:
    odd = home / "odd"
    odd.mkdir()
    (home / "photos" / "good.png").rename(odd / "a\nfailed: b.png")
    (odd / "c\nd.png").write_bytes(b"")
    code, out, err = run("odd")
    assert code == 1
    assert "odd_x2/a\\nfailed: b.png in " in out
    assert [line for line in err.splitlines() if line.startswith("failed: ")] == [
        "failed: cannot read image odd/c\\nd.png: the file is empty"
    ]
    code, _, err = run("odd/no\nsuch.png")
    assert code == 2
    assert err.splitlines()[0] == "error: there is no file or directory odd/no\\nsuch.png"


def test_a_file_that_does_not_exist_does_not_end_the_others(home: Path, run: Run) -> None:
    code, out, err = run("photos/god.png", "photos/good.png", "nowhere")
    assert code == 1
    assert (home / "photos" / "good_x2.png").is_file()
    assert "1 of 3 files" in out
    assert "failed: there is no file or directory photos/god.png\n  Did you mean photos/good.png?" in err
    assert "failed: there is no file or directory nowhere" in err
    code, out, err = run("photos/god.png", "photos/good.png", "--dry-run", "--overwrite", "--json")
    assert code == 1
    planned = {item["source"]: item for item in json.loads(out)["files"]}
    assert (planned["photos/god.png"]["kind"], planned["photos/good.png"]["error"]) == ("image", "")
    assert "no file or directory" in planned["photos/god.png"]["error"]
    code, out, err = run("photos/god.png", "nowhere")
    assert (code, out) == (2, ""), "nothing is left to do"
    assert err.startswith("error: there is no file or directory photos/god.png")
    code, out, err = run("photos/god.png", "photos/good.png", "--preview")
    assert code == 1
    assert (home / "photos" / "good_preview.png").is_file()


@pytest.mark.parametrize("name", ["a.png", "a.mp4", "a"])
def test_an_empty_file_is_called_empty(name: str, home: Path, run: Run) -> None:
    (home / name).write_bytes(b"")
    code, _, err = run(name)
    assert code == 2
    kind = "image" if name.endswith(".png") else "video"
    assert err.splitlines()[0] == f"error: cannot read {kind} {name}: the file is empty"
