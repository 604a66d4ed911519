"""Artifacts are checked with programs of others, and what those compute wrongly is found."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import checkpoint

from toolkit.artifact import Artifact
from toolkit.deployment.clients import client
from toolkit.deployment.clients.client import CLIENTS, PROGRAMS, check_with_client, find_clients, record_clients
from toolkit.errors import CheckFailed, InputError, Unavailable
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.workloads import Shape

ZEROS = """
import sys
import numpy as np
height, width = np.load(sys.argv[2]).shape[2:]
np.save(sys.argv[3], np.zeros((1, 3, {scale} * height, {scale} * width), np.float32))
print("1.2.3-rc1")
"""


@pytest.fixture
def copy(small_artifact: Artifact, tmp_path: Path) -> Artifact:
    for path in (small_artifact.path, small_artifact.path.with_suffix(".json"), small_artifact.weights_path):
        shutil.copy(path, tmp_path)
    return Artifact.read(tmp_path / small_artifact.path.name)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give OpenCV's place to another program."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setattr(client, "PROGRAMS", folder)
    return lambda text: (folder / CLIENTS["opencv"].program).write_text(text) and None


@pytest.mark.parametrize("name", CLIENTS)
def test_clients_compute_the_artifact(name: str, small_artifact: Artifact) -> None:
    check = check_with_client(small_artifact, name, small_artifact)
    assert check.passed
    # OpenVINO's defaults lower the precision on CPUs with bf16, which is what the check is to find there.
    assert 0 < check.measured < 1e-4 or name == "openvino"
    assert check.bound == 1 / 255
    assert check.subject.split()[0] == name
    assert check.subject.split()[1][0].isdigit()


@pytest.mark.parametrize("options", [ExportOptions(uint8="NHWC"), ExportOptions(shape=Shape(33, 27))])
def test_other_ends_and_sizes(options: ExportOptions, tmp_path: Path) -> None:
    artifact = export(checkpoint(), options, tmp_path)
    assert check_with_client(artifact, "onnxruntime", artifact).passed


def test_lowered_artifacts_are_compared_with_the_exact_network(small_artifact: Artifact, tmp_path: Path) -> None:
    lowered = convert(small_artifact, "int8", directory=tmp_path)
    check = check_with_client(lowered, "onnxruntime", small_artifact)
    (own,) = (item for item in lowered.manifest.checks if item.kind == "mean error")
    assert check.passed
    assert check.bound == own.measured + 1 / 255
    assert check.measured > 1e-4  # not compared with itself


def test_manifests_keep_the_newest_check(copy: Artifact, program: Callable[[str], None]) -> None:
    before = copy.manifest.checks
    program(ZEROS.format(scale=2))
    wrong = check_with_client(copy, "opencv", copy)
    assert (wrong.passed, wrong.subject) == (False, "opencv 1.2.3")
    assert wrong.measured > 0.3
    assert record_clients(copy, [wrong]).manifest.checks == (*before, wrong)
    program((PROGRAMS / CLIENTS["opencv"].program).read_text())
    right = check_with_client(copy, "opencv", copy)
    record_clients(Artifact.read(copy.path), [right])
    assert Artifact.read(copy.path).manifest.checks == (*before, right)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("import no_such_module", Unavailable, "opencv is not installed: .*no_such_module"),
        (ZEROS.format(scale=1), CheckFailed, r"a frame \(1, 3, 96, 128\) .* instead of \(1, 3, 192, 256\)"),
        ("raise ValueError('no such operator')", CheckFailed, "does not run .*no such operator"),
        ("import os; os.abort()", CheckFailed, "does not run .*SIGABRT"),
        ("", CheckFailed, "does not run"),
    ],
)
def test_what_goes_wrong_is_said(
    text: str, error: type[Exception], message: str, copy: Artifact, program: Callable[[str], None]
) -> None:
    program(text)
    with pytest.raises(error, match=message) as caught:
        check_with_client(copy, "opencv", copy)
    if error is Unavailable:
        assert caught.value.remedy == "pip install opencv-python-headless"


def test_names() -> None:
    assert find_clients("ncnn, opencv,ncnn") == ["ncnn", "opencv"]
    with pytest.raises(InputError, match="no client 'tflite'"):
        find_clients("opencv,tflite")


def test_on_the_command_line(
    copy: Artifact, tmp_path: Path, toolkit_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A client that does not take a precision fails alone: everything is written, and the others are checked."""
    weights = copy.manifest.source.weights
    assert weights is not None
    done = toolkit_command(
        *("export", weights, "--precision", "bf16", "--client", "onnxruntime,openvino", "-o", "made"), cwd=tmp_path
    )
    assert done.returncode == 1
    assert "bf16 in onnxruntime: onnxruntime does not run" in done.stderr
    made = {item.name.split("_")[-1]: item for item in (tmp_path / "made").glob("*.onnx")}
    clients = {
        name: [check.subject.split()[0] for check in Artifact.read(path).manifest.checks if check.kind == "client"]
        for name, path in made.items()
    }
    assert clients == {"fp32.onnx": ["onnxruntime", "openvino"], "bf16.onnx": ["openvino"]}
    refused = toolkit_command("export", weights, "--client", "tflite", "-o", "other", cwd=tmp_path)
    assert refused.returncode == 2
    assert "there is no client 'tflite'" in refused.stderr
    assert not (tmp_path / "other").exists()


def test_programs_do_not_need_the_toolkit() -> None:
    """They are what people copy."""
    assert all("toolkit" not in (PROGRAMS / known.program).read_text() for known in CLIENTS.values())
