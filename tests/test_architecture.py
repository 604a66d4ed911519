"""The rules of the house, kept by machine."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from imports import MODULES, NAMES, PACKAGE, dotted, imports, modules_imported, parsed

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


def test_torch_stays_where_it_belongs() -> None:
    others = [path for path in MODULES if not relative(path).startswith(MAY_IMPORT_TORCH)]
    packages = {relative(path): {name.partition(".")[0] for name in imports(path)} for path in others}
    assert [name for name, used in packages.items() if "torch" in used] == []


@cache
def graph() -> dict[str, set[str]]:
    """The package's modules that each module imports, also inside functions."""
    return {dotted(path): modules_imported(path, NAMES) for path in MODULES}


def folders(name: str) -> list[str]:
    """The folders that a module is in, the outermost first; a module of the package itself counts as one."""
    parts = name.split(".")
    last = len(parts) if len(parts) == 2 or (PACKAGE.parent / Path(*parts)).is_dir() else len(parts) - 1
    return [".".join(parts[:length]) for length in range(2, last + 1)]


def test_imports_point_one_way() -> None:
    layers = {member: index for index, members in enumerate(LAYERS) for member in members}
    used = {
        name: {other.split(".")[1] for other in others if other != "toolkit"}
        for name, others in graph().items()
        if name != "toolkit"
    }
    folders = {name.split(".")[1] for name in used}.union(*used.values())
    assert folders - layers.keys() == set(), "folders that belong to no layer"
    above = {
        name: wrong
        for name, others in used.items()
        if (wrong := {other for other in others if layers[other] > layers[name.split(".")[1]]})
    }
    assert above == {}


def test_no_module_imports_itself_through_others() -> None:
    """Also not inside a function; imports for type checking alone do not count."""
    remaining = dict(graph())
    while leaves := [name for name, used in remaining.items() if not used & remaining.keys()]:
        for name in leaves:
            del remaining[name]
    assert not remaining, f"in a circle, or above one: {sorted(remaining)}"


def test_folders_do_not_import_each_other_both_ways() -> None:
    """Neighbours: two folders in the same folder, at any depth."""
    arrows: dict[tuple[str, str], str] = {}
    for name, used in graph().items():
        for other in used:
            for mine, theirs in zip(folders(name), folders(other), strict=False):
                if mine != theirs:
                    arrows[mine, theirs] = f"{name} imports {other}"
                    break
    both = {pair: why for pair, why in arrows.items() if pair[::-1] in arrows}
    assert not both, both


def test_the_cuda_driver_is_called_in_one_place() -> None:
    """`runtimes/script.py` writes programs that stand alone, and look for the driver themselves."""
    naming = {relative(path) for path in MODULES if "libcuda" in path.read_text()}
    assert naming <= {"runtimes/cuda/driver.py", "runtimes/script.py"}


ARCHITECTURES = "toolkit.network.architectures"


def test_only_the_registry_knows_an_architecture() -> None:
    """All other code uses the interface: an architecture is its folder, an entry in the registry, and a test."""
    shared = {f"{ARCHITECTURES}.{name}" for name in ("architecture", "configuration", "details", "registry", "tensors")}
    knowing = {}
    for path in MODULES:
        used = {name for name in imports(path) if name.startswith(f"{ARCHITECTURES}.")} - shared
        own = relative(path).removesuffix(".py").replace("/", ".").removeprefix("network.architectures.").split(".")[0]
        knowing[relative(path)] = {name for name in used if name.split(".")[3] != own}
    del knowing["network/architectures/registry.py"]
    assert {name: others for name, others in knowing.items() if others} == {}


def test_shapes_are_inferred_in_one_module() -> None:
    found = {relative(path) for path in MODULES if re.search(r"infer_shapes|ShapeInferencePass", path.read_text())}
    assert found == {"graph/analysis/shapes.py"}


def test_measuring_knows_nothing_of_reports() -> None:
    later = ("toolkit.profiling.reporting", "toolkit.profiling.profile", "toolkit.profiling.gate", "toolkit.pages")
    measuring = sorted((PACKAGE / "profiling" / "measuring").glob("*.py"))
    assert measuring
    assert [(path.name, name) for path in measuring for name in imports(path) if name.startswith(later)] == []


def test_what_is_true_of_a_precision_is_asked_of_its_object() -> None:
    """Training has precisions of its own (autocast), which are no artifacts'."""
    others = [path for path in MODULES if not relative(path).startswith("training/")]
    assert [f"{relative(path)}: {ast.unparse(node)}" for path in others for node in precisions_compared(path)] == []


def precisions_compared(path: Path) -> Iterator[ast.Compare]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Compare):
            words = {word.value for word in ast.walk(node) if isinstance(word, ast.Constant)}
            names = {getattr(word, "id", getattr(word, "attr", "")) for word in ast.walk(node)}
            if words & set(get_args(Precision)) and "precision" in names:
                yield node


def test_modules_and_functions_can_be_read() -> None:
    assert [relative(path) for path in MODULES if len(path.read_text().splitlines()) > 400] == []
    functions = [(path, node) for path in MODULES for node in ast.walk(parsed(path)) if isinstance(node, FUNCTIONS)]
    long = [f"{relative(path)}: {node.name}" for path, node in functions if lines(node) > 80]
    assert long == [], "do not fit a screen"


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def test_lines_of_c_and_cpp() -> None:
    """Those of Python are the linter's."""
    sources = (path for suffix in ("c", "cpp", "h") for path in PACKAGE.rglob(f"*.{suffix}"))
    long = [f"{relative(path)}:{n}" for path in sources for n, text in enumerate(path.open(), 1) if len(text) > 121]
    assert long == []


def lines(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


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


def test_text_is_quoted_in_one_module() -> None:
    assert {relative(path) for path in MODULES if imports(path) & QUOTING} <= {"quoting.py"}


def test_what_is_printed_is_not_put_together() -> None:
    """Values go through `styled`, apart from its template, and not into strings that are printed."""
    commands = sorted((PACKAGE / "cli").glob("*.py"))
    assert commands
    assert [f"{path.name}: {ast.unparse(node)}" for path in commands for node in strings_printed(path)] == []


def strings_printed(path: Path) -> Iterator[ast.Call]:
    """Calls that print a string with values in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in {"print", "styled", "from_markup"} and isinstance(node.args[0], ast.JoinedStr | ast.BinOp):
                yield node


def test_the_public_surface() -> None:
    assert len(toolkit.__all__) == len(set(toolkit.__all__)) <= 55, "about 40 names that users need"
    for name in toolkit.__all__:
        assert getattr(toolkit, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        _ = toolkit.frobnicate


def test_importing_toolkit_is_light() -> None:
    code = "import sys, toolkit, toolkit.network, toolkit.runtimes.registry; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
