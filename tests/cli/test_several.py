"""One bad input never ends the others: artifacts, precisions, networks, folders."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photographs import picture
from PIL import Image
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.cli.attempts import Attempts
from toolkit.cli.convert import convert
from toolkit.cli.evaluate import _exit
from toolkit.cli.export import GraphOptions, Lower, export
from toolkit.cli.verify_fusion import verify_fusion
from toolkit.images import find_images, images_below
from toolkit.quality import conversion, evaluation


def code_of(command: Callable[..., None], *arguments: Any, **options: Any) -> int:
    """The exit code of a command."""
    try:
        command(*arguments, **options)
    except SystemExit as end:
        return int(end.code or 0)
    except toolkit.ToolkitError as error:
        return error.exit_code
    return 0


@pytest.mark.parametrize("damaged", ["weights", "manifest"])
def test_a_damaged_artifact_is_a_line(
    damaged: str, small_artifact: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (small_artifact.path, small_artifact.path.with_suffix(".json"), small_artifact.weights_path):
        shutil.copy(path, tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(picture(16, 16)).save(photos / "a.png")
    bad = toolkit.export(checkpoint(seed=1), toolkit.ExportOptions(name="a_bad_one"), tmp_path)
    (bad.weights_path if damaged == "weights" else bad.path.with_suffix(".json")).write_bytes(b"damaged")
    assert code_of(verify_fusion, images=photos, directory=tmp_path, full_frame=False, json=True) == 1
    shown = capsys.readouterr()
    good, failed = json.loads(shown.out)
    assert good["passed"] is True
    assert small_artifact.path.name in good["subject"]
    assert failed["passed"] is False
    assert failed["error"]
    assert failed["traceback"] == ""
    assert "FAILED" in shown.err
    assert "a_bad_one" in shown.err
    # Alone, it is bad input.
    for path in tmp_path.glob(f"{small_artifact.manifest.name}.*"):
        path.unlink()
    assert code_of(verify_fusion, directory=tmp_path, full_frame=False) == 2


@pytest.fixture
def without_fp16(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Make the conversion to fp16 fail."""
    real = conversion.convert

    def plant(error: Exception) -> None:
        def fails(artifact: Artifact, precision: toolkit.Precision, *arguments: Any, **options: Any) -> Artifact:
            if precision == "fp16":
                raise error
            return real(artifact, precision, *arguments, **options)

        monkeypatch.setattr(conversion, "convert", fails)

    return plant


@pytest.mark.parametrize("error", [toolkit.CheckFailed("worse"), toolkit.InputError("bad"), ValueError("odd")])
def test_a_precision_that_fails_is_a_line(
    error: Exception,
    without_fp16: Callable[[Exception], None],
    small_artifact: Artifact,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    without_fp16(error)
    assert code_of(convert, small_artifact.path, precision="fp16,bf16", output=tmp_path) == 1
    assert [path.name for path in tmp_path.glob("*.onnx")] == [small_artifact.path.name.replace("fp32", "bf16")]
    shown = capsys.readouterr()
    assert f"FAILED fp16: {'ValueError: odd' if isinstance(error, ValueError) else error}" in shown.err
    assert ("Traceback" in shown.err) == isinstance(error, ValueError)
    assert "bf16" in shown.out


def test_export_writes_what_does_not_fail(without_fp16: Callable[[Exception], None], tmp_path: Path) -> None:
    without_fp16(toolkit.CheckFailed("worse"))
    source = tmp_path / "own.safetensors"
    source.write_bytes(toolkit.export(checkpoint(), directory=tmp_path / "first").read_weights().read_bytes())
    lower = Lower(precision="fp16,bf16")
    assert code_of(export, source, output=tmp_path / "out", graph=GraphOptions(name="n"), lower=lower) == 1
    assert len(list((tmp_path / "out").glob("*.onnx"))) == 2


def test_exit_codes() -> None:
    """1, but where nothing was done for one kind of reason its own code."""

    def fails(error: Exception) -> None:
        raise error

    bad, missing = toolkit.InputError("bad"), toolkit.Unavailable("missing")
    for errors, done, code in (((bad, bad), 0, 2), ((missing,), 0, 3), ((bad, missing), 0, 1), ((bad,), 1, 1)):
        attempts = Attempts(done=done)
        for error in errors:
            assert attempts.attempt("x", lambda error=error: fails(error)) is None  # type: ignore[misc]
        assert code_of(attempts.exit) == code
    Attempts(done=1).exit()
    with pytest.raises(toolkit.InputError):
        Attempts(alone=True).attempt("x", lambda: fails(bad))


def test_networks_without_a_reference_are_lines(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = toolkit.export(checkpoint(seed=1), directory=tmp_path / "other")
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(picture(40, 40)).save(photos / "a.png")
    subjects = [toolkit.Subject(other, "tensorrt"), toolkit.Subject(small_artifact, "ort-cpu")]
    report = toolkit.evaluate(subjects, [photos])
    (network,) = report.networks
    assert network.subjects[0].name == small_artifact.manifest.name
    (left,) = report.not_run
    assert (left.name, left.runtime, left.failed) == (other.manifest.name, "tensorrt", False)
    assert not report.complete
    assert code_of(_exit, report, demanded=True) == 3
    real = evaluation.load

    def fails(subject: toolkit.Subject) -> Any:
        if subject.weights == subjects[0].weights:
            raise ValueError("odd")
        return real(subject)

    monkeypatch.setattr(evaluation, "load", fails)
    report = toolkit.evaluate([toolkit.Subject(other, "ort-cpu"), subjects[1]], [photos])
    assert report.failed
    assert code_of(_exit, report, demanded=False) == 1
    with pytest.raises(ValueError, match="odd"):
        toolkit.evaluate(subjects[:1], [photos])


def test_folders_that_cannot_be_listed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    for path in (tmp_path / "a.png", tmp_path / "locked" / "b.png"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    assert len(images_below(tmp_path)) == 2
    real = os.scandir

    def refuses(path: str) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuses)  # permissions do not bind root
    with pytest.raises(toolkit.InputError, match=r"cannot list .*locked: Permission denied"):
        find_images(tmp_path, 10)
