"""The rules of the house, kept by machine."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import toolkit

PACKAGE = Path(toolkit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MAY_IMPORT_TORCH = ("network/", "training/", "graph/export.py", "runtimes/pytorch/")
LAYERS = [
    {"network"},
    {"artifact", "graph"},
    {"native", "runtimes"},
    {"profiling", "quality", "verification", "media", "training"},
    {"ablation"},
]
FOUNDATION = {
    "checks",
    "errors",
    "images",
    "kinds",
    "manifest_schema1",
    "pages",
    "port",
    "quoting",
    "sizes",
    "system",
    "workloads",
}


def imports(path: Path) -> set[str]:
    """Dotted names a module imports anywhere, `TYPE_CHECKING` blocks aside."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_torch_stays_where_it_belongs(path: Path) -> None:
    if not relative(path).startswith(MAY_IMPORT_TORCH):
        assert not {name for name in imports(path) if name.partition(".")[0] == "torch"}


def layer(name: str) -> int | None:
    return next((index for index, members in enumerate(LAYERS) if name in members), None)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    own = relative(path).removesuffix(".py").split("/")[0]
    ours = layer(own)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("toolkit.")}
    if own in FOUNDATION:
        assert used <= FOUNDATION
    elif ours is not None:
        for name in used - FOUNDATION:
            theirs = layer(name)
            assert theirs is not None, f"{name} belongs to no layer"
            assert theirs <= ours, f"{own} must not import {name}"


def test_shapes_are_inferred_in_one_module() -> None:
    found = {relative(path) for path in MODULES if re.search(r"infer_shapes|ShapeInferencePass", path.read_text())}
    assert found == {"graph/analysis/shapes.py"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "profiling" / "measuring").glob("*.py")), ids=relative)
def test_measuring_knows_nothing_of_reports(path: Path) -> None:
    later = ("toolkit.profiling.reporting", "toolkit.profiling.profile", "toolkit.profiling.gate", "toolkit.pages")
    assert not {name for name in imports(path) if name.startswith(later)}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_and_functions_can_be_read(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 80, f"{node.name} does not fit a screen"


@pytest.mark.parametrize(("first", "second"), [("pictures", "videos"), ("videos", "pictures")])
def test_pictures_and_videos_are_independent(first: str, second: str) -> None:
    """Neither imports the other, directly or through the modules that they share."""
    reached, waiting = set(), {module_name(path) for path in (PACKAGE / "media" / first).glob("*.py")}
    while waiting:
        name = waiting.pop()
        path = PACKAGE.parent / f"{name.replace('.', '/')}.py"
        reached.add(name)
        waiting |= {used for used in imports(path) if used.startswith("toolkit.media.")} - reached
    assert not {name for name in reached if name.startswith(f"toolkit.media.{second}.")}


def module_name(path: Path) -> str:
    return "toolkit." + relative(path).removesuffix(".py").replace("/", ".")


QUOTING = {"html", "shlex", "rich.markup", "xml.sax.saxutils"}
"""Modules that escape text. Only `quoting.py` does, with one function for each target."""


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_text_is_quoted_in_one_module(path: Path) -> None:
    if relative(path) != "quoting.py":
        assert not imports(path) & QUOTING


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=relative)
def test_what_is_printed_is_not_put_together(path: Path) -> None:
    """Values go through `styled`, apart from its template, and not into strings that are printed."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in {"print", "styled", "from_markup"}:
                assert not isinstance(node.args[0], ast.JoinedStr | ast.BinOp), ast.unparse(node)


def test_the_public_surface() -> None:
    assert len(toolkit.__all__) == len(set(toolkit.__all__)) <= 50, "about 40 names that users need"
    for name in toolkit.__all__:
        assert getattr(toolkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        _ = toolkit.frobnicate


def test_importing_toolkit_is_light() -> None:
    code = "import sys, toolkit, toolkit.network, toolkit.runtimes.registry; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
