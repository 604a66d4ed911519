"""CONTRIBUTING's recipes: the files that they name are there, and what they add is known to one list only."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from imports import MODULES, NAMES, dotted, modules_imported

ROOT = Path(__file__).parents[1]
RECIPES = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", (ROOT / "CONTRIBUTING.md").read_text(), re.S | re.M))
IMPORTED = {path: modules_imported(path, NAMES, typing=True) for path in MODULES}
"""By every module of the package, for types too."""

LISTS = {
    "Add a runtime": ("toolkit/runtimes/registry.py", "toolkit/runtimes/*/runtime.py"),
    "Add an architecture": (
        "toolkit/network/architectures/registry.py",
        "toolkit/network/architectures/*/architecture.py",
    ),
    "Add a precision": (
        "toolkit/graph/precision/registry.py",
        "toolkit/graph/precision/{float16,bfloat16,int8,float32}.py",
    ),
    "Add a command": ("toolkit/cli/__init__.py", "toolkit/cli/{tune,evaluate,compare,doctor,gate,train}.py"),
}
"""For each recipe: the file that lists what it adds, and the files of what was added so far."""


def expanded(pattern: str) -> list[Path]:
    match = re.search(r"\{(.*)\}", pattern)
    patterns = [pattern.replace(match[0], name) for name in match[1].split(",")] if match else [pattern]
    return sorted(path for item in patterns for path in ROOT.glob(item))


def test_every_recipe_is_there() -> None:
    assert set(RECIPES) == {*LISTS, "Add a graph pass"}


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_recipe_touches_three_files_that_exist(recipe: str) -> None:
    files = re.findall(r"^- `([^`]+)`", RECIPES[recipe], re.M)
    assert 1 <= len(files) <= 3
    for name in files:
        folder = ROOT / name.partition("<")[0].rpartition("/")[0]
        assert (ROOT / name).is_file() if "<" not in name else folder.is_dir(), name


@pytest.mark.parametrize("recipe", sorted(LISTS))
def test_only_its_list_imports_what_a_recipe_adds(recipe: str) -> None:
    registry, pattern = LISTS[recipe]
    added = expanded(pattern)
    assert added
    assert registry in RECIPES[recipe]
    for path in added:
        # A family may share code within its folder, and derive from another family.
        own = path.parent if path.name in {"runtime.py", "architecture.py"} else path
        readers = {
            module
            for module in MODULES
            if module not in {ROOT / registry, path} and own not in module.parents and dotted(path) in IMPORTED[module]
        }
        assert not readers, f"{path.name} is imported by {sorted(map(str, readers))}"


def test_every_pass_is_imported_by_a_sequence_of_passes() -> None:
    """That of the export, or that of graphs of other exporters."""
    sequences = IMPORTED[ROOT / "toolkit/graph/pipeline.py"] | IMPORTED[ROOT / "toolkit/graph/adoption/adopting.py"]
    passes = [path for path in (ROOT / "toolkit/graph/passes").glob("*.py") if path.stem not in {"__init__", "base"}]
    assert not [path.stem for path in passes if dotted(path) not in sequences]
