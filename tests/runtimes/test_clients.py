"""The programs of `validation/clients` that run in this environment, on artifacts as they are."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from toolkit.artifact import Artifact
from toolkit.workloads import Shape

sys.path.insert(0, str(Path(__file__).parents[2] / "validation" / "clients"))
import programs
import table

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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ORT Web, wasm", "npm and node not installed"),
        ("ORT Web, WebGPU", "chromium and chromedriver not installed"),
        ("native, C", "cc not installed"),
        ("ncnn through pnnx", "ModuleNotFoundError: No module named 'pnnx'"),
    ],
)
def test_what_is_not_installed_is_left_out(
    name: str,
    words: str,
    small_artifact: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And not listed as a client that refuses the artifact."""
    monkeypatch.setattr(shutil, "which", lambda program: None)
    (tmp_path / "ncnn_pnnx.py").write_text("raise ModuleNotFoundError(\"No module named 'pnnx'\")")
    monkeypatch.setattr(programs, "PROGRAMS", tmp_path)
    monkeypatch.setattr(table, "trained", lambda: small_artifact)
    case = table.Case("small", small_artifact, Shape(24, 32))
    assert table.columns({name: table.CLIENTS[name]}, [case], tmp_path, table.Notes()) == {}
    assert capsys.readouterr().err == f"left out: {name}: {words}\n"


def test_a_module_that_is_not_installed_is_no_refusal() -> None:
    with pytest.raises(programs.Missing, match="no_such_module"):
        programs.run([sys.executable, "-c", "import no_such_module"])
    with pytest.raises(programs.Refused, match="an error of its own"):
        programs.run([sys.executable, "-c", "raise SystemExit('an error of its own')"])


def test_a_table_without_all_clients_is_not_written(
    small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{table.BEGIN}\n{table.END}\n")
    monkeypatch.setattr(table, "cases", lambda work: [table.Case("small", small_artifact, Shape(24, 32))])
    monkeypatch.setattr(table, "trained", lambda: small_artifact)
    monkeypatch.setattr(table, "SUPPORT", tmp_path / "clients.json")
    monkeypatch.setattr(sys, "argv", ["table.py", str(tmp_path), "--only", "onnxruntime", "--markdown", str(page)])
    with pytest.raises(SystemExit, match="is unchanged: the table would lose ORT Web, WebGPU, ORT Web, wasm, OpenCV"):
        table.main()
    assert page.read_text() == f"{table.BEGIN}\n{table.END}\n"
    assert not (tmp_path / "clients.json").exists()
