"""What the modules of the package import, for tests of its structure."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import toolkit

PACKAGE = Path(toolkit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def import_statements(path: Path, *, typing: bool = False) -> list[ast.Import | ast.ImportFrom]:
    """Those anywhere in a module; those in `TYPE_CHECKING` blocks only if `typing`."""
    tree = parsed(path)
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return [node for node in found if typing or id(node) not in skipped]


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports."""
    found: set[str] = set()
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module:
            found.add(node.module)
    return found


def modules_imported(path: Path, known: set[str], *, typing: bool = False) -> set[str]:
    """The known modules that a module imports: `from a import b` imports a.b where that is a module, else a."""
    found: set[str] = set()
    for node in import_statements(path, typing=typing):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.module:
            inner = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in inner.values()}
    return found & known


def dotted(path: Path) -> str:
    """Name of a module, from `toolkit` on."""
    parts = ("toolkit", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


NAMES = {dotted(path) for path in MODULES}
"""Of all modules of the package."""
