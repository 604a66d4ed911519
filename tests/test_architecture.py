"""The rules of the house, kept by machine."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from imports import MODULES, NAMES, PACKAGE, dotted, imports, modules_imported

import toolkit
from toolkit.precisions import Precision

MAY_IMPORT_TORCH = ("network/", "training/", "graph/export.py", "runtimes/pytorch/")
LAYERS = (
    {"errors", "kinds", "precisions", "quoting", "workloads"},
    {"system"},
    {"checks", "clients", "conversion", "defaults", "findings", "images", "manifest_upgrade", "pages", "port", "sizes"},
    {"network"},
    {"artifact", "manifest_parts"},
    {"graph"},
    {"native"},
    {"runtimes"},
    {"deployment", "media", "profiling", "quality", "training", "verification"},
    {"ablation", "demonstration", "diagnosis", "ranking"},
    {"cli"},
)
"""Folders and modules of the package, the lowest layer first. Each imports from its own layer and those below.

`manifest_parts` is above `network` because a manifest holds the details of its architecture."""


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_torch_stays_where_it_belongs(path: Path) -> None:
    if not relative(path).startswith(MAY_IMPORT_TORCH):
        assert not {name for name in imports(path) if name.partition(".")[0] == "torch"}


GRAPH = {dotted(path): modules_imported(path, NAMES) for path in MODULES}
"""The package's modules that each module imports, also inside functions."""


def folders(name: str) -> list[str]:
    """The folders that a module is in, the outermost first; a module of the package itself counts as one."""
    parts = name.split(".")
    last = len(parts) if len(parts) == 2 or (PACKAGE.parent / Path(*parts)).is_dir() else len(parts) - 1
    return [".".join(parts[:length]) for length in range(2, last + 1)]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    name = dotted(path)
    if name == "toolkit":
        return
    layers = {member: index for index, members in enumerate(LAYERS) for member in members}
    own = name.split(".")[1]
    used = {other.split(".")[1] for other in GRAPH[name] if other != "toolkit"}
    assert {own, *used} <= layers.keys(), "a folder that belongs to no layer"
    above = {other for other in used if layers[other] > layers[own]}
    assert not above, f"{own} must not import {above}"


def test_no_module_imports_itself_through_others() -> None:
    """Also not inside a function; imports for type checking alone do not count."""
    remaining = dict(GRAPH)
    while leaves := [name for name, used in remaining.items() if not used & remaining.keys()]:
        for name in leaves:
            del remaining[name]
    assert not remaining, f"in a circle, or above one: {sorted(remaining)}"


def test_folders_do_not_import_each_other_both_ways() -> None:
    """Neighbours: two folders in the same folder, at any depth."""
    arrows: dict[tuple[str, str], str] = {}
    for name, used in GRAPH.items():
        for other in used:
            for mine, theirs in zip(folders(name), folders(other), strict=False):
                if mine != theirs:
                    arrows[mine, theirs] = f"{name} imports {other}"
                    break
    both = {pair: why for pair, why in arrows.items() if pair[::-1] in arrows}
    assert not both, both


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_the_cuda_driver_is_called_in_one_place(path: Path) -> None:
    """`runtimes/script.py` writes programs that stand alone, and look for the driver themselves."""
    if relative(path) not in ("runtimes/cuda/driver.py", "runtimes/script.py"):
        assert "libcuda" not in path.read_text()


ARCHITECTURES = "toolkit.network.architectures"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_only_the_registry_knows_an_architecture(path: Path) -> None:
    """All other code uses the interface: an architecture is its folder, an entry in the registry, and a test."""
    shared = {f"{ARCHITECTURES}.{name}" for name in ("architecture", "configuration", "details", "registry", "tensors")}
    used = {name for name in imports(path) if name.startswith(f"{ARCHITECTURES}.")} - shared
    own = relative(path).removesuffix(".py").replace("/", ".").removeprefix("network.architectures.").split(".")[0]
    if relative(path) != "network/architectures/registry.py":
        assert {name for name in used if name.split(".")[3] != own} == set()


def test_shapes_are_inferred_in_one_module() -> None:
    found = {relative(path) for path in MODULES if re.search(r"infer_shapes|ShapeInferencePass", path.read_text())}
    assert found == {"graph/analysis/shapes.py"}


@pytest.mark.parametrize("path", sorted((PACKAGE / "profiling" / "measuring").glob("*.py")), ids=relative)
def test_measuring_knows_nothing_of_reports(path: Path) -> None:
    later = ("toolkit.profiling.reporting", "toolkit.profiling.profile", "toolkit.profiling.gate", "toolkit.pages")
    assert not {name for name in imports(path) if name.startswith(later)}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_what_is_true_of_a_precision_is_asked_of_its_object(path: Path) -> None:
    """Training has precisions of its own (autocast), which are no artifacts'."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and not relative(path).startswith("training/"):
            words = {word.value for word in ast.walk(node) if isinstance(word, ast.Constant)}
            names = {getattr(word, "id", getattr(word, "attr", "")) for word in ast.walk(node)}
            assert not (words & set(get_args(Precision)) and "precision" in names), ast.unparse(node)


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
    assert len(toolkit.__all__) == len(set(toolkit.__all__)) <= 55, "about 40 names that users need"
    for name in toolkit.__all__:
        assert getattr(toolkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        _ = toolkit.frobnicate


def test_importing_toolkit_is_light() -> None:
    code = "import sys, toolkit, toolkit.network, toolkit.runtimes.registry; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
