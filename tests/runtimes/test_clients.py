"""The programs of `validation/clients` that run in this environment, on artifacts as they are."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from toolkit.artifact import Artifact
from toolkit.workloads import Shape

TABLE = Path(__file__).parents[2] / "validation" / "clients" / "table.py"
_spec = importlib.util.spec_from_file_location("clients_table", TABLE)
assert _spec and _spec.loader
table = importlib.util.module_from_spec(_spec)
sys.modules["clients_table"] = table
_spec.loader.exec_module(table)

HERE = [name for name in table.CLIENTS if not name.startswith(("OpenCV", "ORT Web", "OpenVINO, defaults"))]


@pytest.mark.parametrize("name", HERE)
def test_a_client_gives_the_same_picture(name: str, small_artifact: Artifact, tmp_path: Path) -> None:
    """Up to a level where results are near the middle between two. OpenVINO's defaults depend on the CPU."""
    found = table.difference(
        table.CLIENTS[name], table.Case("small", small_artifact, Shape(24, 32)), small_artifact, tmp_path
    )
    assert found.levels <= 1
    assert found.share < 0.001


@pytest.mark.parametrize(
    ("name", "words"), [("onnxruntime, CPU", "(?i)reshape"), ("native, C", "the engine refuses the size")]
)
def test_what_a_client_cannot_do_is_said(name: str, words: str, small_artifact: Artifact, tmp_path: Path) -> None:
    odd = table.Case("odd", small_artifact, Shape(23, 31))
    with pytest.raises(table.Refused, match=words):
        table.difference(table.CLIENTS[name], odd, small_artifact, tmp_path)
