"""The public names: type checkers know them, and each is documented by an example that runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from profile_reports import cell, report

import toolkit
from toolkit.graph.precision.calibration import calibration_images

pytestmark = pytest.mark.usefixtures("forked_workers")

ROOT = Path(__file__).parents[1]
MODULES: dict[str, str] = toolkit._modules()

_SNIPPET = """
import toolkit

checkpoint: toolkit.Checkpoint = toolkit.load_checkpoint("a.pth")
name: str = toolkit.export(checkpoint).path.name
toolkit.DoesNotExist
checkpoint.frobnicate()
"""


_SNIPPET_MODULES = ("toolkit", "toolkit.network.checkpoint", "toolkit.graph.export", "toolkit.artifact")
"""Modules that the snippet's names are from: mypy would check all that these import for half a minute."""

_CONFIGURATION = "[mypy]\nstrict = true\nfollow_imports = skip\n" + "".join(
    f"[mypy-{name}]\nfollow_imports = silent\n" for name in _SNIPPET_MODULES
)


def test_mypy_knows_the_public_names(tmp_path: Path) -> None:
    path, configuration = tmp_path / "snippet.py", tmp_path / "mypy.ini"
    path.write_text(_SNIPPET)
    configuration.write_text(_CONFIGURATION)
    options = ["--config-file", str(configuration), "--cache-dir", str(tmp_path / "cache"), "--no-pretty"]
    command = [sys.executable, "-m", "mypy", *options, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    unknown, method, total = result.stdout.splitlines()
    assert ':6: error: Module has no attribute "DoesNotExist"' in unknown
    assert ':7: error: "Checkpoint" has no attribute "frobnicate"' in method
    assert total.startswith("Found 2 errors")


def documentation(name: str) -> str:
    """The docstring of a public name; of one that is a value or a type alias, the text below it in its module."""
    value = getattr(toolkit, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        return inspect.getdoc(value) or ""
    body = ast.parse(inspect.getsource(importlib.import_module(MODULES[name]))).body
    for node, after in pairwise(body):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == name and isinstance(after, ast.Expr):
            return inspect.cleandoc(ast.literal_eval(after.value))
    return ""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files that the examples name."""
    directory = tmp_path_factory.mktemp("home")
    (directory / "exported").mkdir()
    for pattern in ("rt4ksr_x2-*", "rt4ksr_x2_fp32.*"):
        for path in (ROOT / "exported").glob(pattern):
            shutil.copy(path, directory / "exported")
    shutil.copy(ROOT / "toolkit/network/weights/rt4ksr_x2.safetensors", directory)
    (directory / "photos").mkdir()
    Image.fromarray(calibration_images()[0]).save(directory / "photos" / "coffee.png")
    (directory / "report.json").write_text(report(cell("ort-cpu", 0.1)).to_json())
    return directory


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_example_of_a_public_name(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    names = {"toolkit": toolkit, "np": np, "Path": Path}
    test = doctest.DocTestParser().get_doctest(documentation(name), names, name, None, None)
    assert any(name.lower() in example.source.lower() for example in test.examples), f"{name} has no example"
    shown: list[str] = []
    result = doctest.DocTestRunner().run(test, out=shown.append)
    assert not result.failed, "".join(shown)
