"""Subjects on the command line: PATH and PATH@RUNTIME, and options that leave the arguments alone."""

from pathlib import Path

import pytest

from toolkit.artifact import Artifact
from toolkit.cli.evaluate import _subjects


def test_an_artifact_runs_on_each_runtime_unless_it_names_one(small_artifact: Artifact) -> None:
    path = str(small_artifact.path)
    found = _subjects((path, f"{path}@torch"), small_artifact.path.parent, ["ort-cpu", "openvino"], None, 3)
    assert [(item.runtime, item.threads) for item in found] == [("ort-cpu", 3), ("openvino", 3), ("torch", 3)]
    assert _subjects((path,), small_artifact.path.parent, ["ort-cpu"], 3, 0) == []


@pytest.mark.parametrize("order", ["--images {0} {1}", "{1} --images {0}"])
def test_images_do_not_take_the_subjects_too(
    order: str, toolkit_command, small_artifact: Artifact, tmp_path: Path
) -> None:
    """The directory is empty. If the artifact were taken for a second one, the error would name it."""
    done = toolkit_command("evaluate", *order.format(tmp_path, small_artifact.path).split())
    assert done.returncode == 2
    assert str(tmp_path) in done.stderr
    assert ".onnx" not in done.stderr
