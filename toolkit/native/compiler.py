"""Compiles engines with the system's C++ compiler, and caches the result."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from toolkit.artifact import Manifest
from toolkit.errors import Unavailable
from toolkit.native.interface import EXAMPLE, HEADER, LIBRARY, LOADING, interface, loading
from toolkit.native.program import Program
from toolkit.native.source import headers, translation_unit
from toolkit.native.targets import Target
from toolkit.quoting import file_name
from toolkit.system.atomic import write_bytes
from toolkit.system.cache import cache_directory

# -ffp-contract=off: only explicit fused multiply-adds are fused, so that all targets compute the same bits.
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-fvisibility=hidden")
_LINK = ("-shared", f"-Wl,-soname,{LIBRARY}", "-pthread")
WARNINGS = ("-Wall", "-Wextra", "-Wno-psabi", "-Wno-ignored-attributes")
LONGEST = 600
"""Compiler time limit in seconds."""
_REMEDY = "Install a compiler, for example: apt install g++."


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler and the first line of its `--version`."""

    path: str
    version: str


@cache
def find_compiler(names: tuple[str, ...] = ("c++", "g++", "clang++")) -> Compiler | None:
    """`$CXX`, or the first of `names` that is installed and works; None if there is none."""
    for name in filter(None, (os.environ.get("CXX"), *names)):
        path = shutil.which(name)
        if path is None:
            continue
        asked = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
        if asked.returncode == 0 and asked.stdout:
            return Compiler(path, asked.stdout.splitlines()[0])
    return None


def require_compiler() -> Compiler:
    """The compiler of this system.

    Raises:
        Unavailable: there is none.
    """
    found = find_compiler()
    if found is None:
        raise Unavailable("the native engine needs a C++ compiler, and none was found (c++, g++, clang++)", _REMEDY)
    return found


def sources(program: Program, manifest: Manifest, target: Target) -> dict[str, str]:
    """All C++ source files of an engine, by file name."""
    definitions = interface("interface.cpp", program, manifest, target)
    return {"engine.cpp": translation_unit(program, target, definitions), LOADING: loading(), **headers()}


def compiled(
    program: Program, manifest: Manifest, target: Target, extra: tuple[str, ...] = (), compiler: Compiler | None = None
) -> dict[str, bytes]:
    """Compile an engine: shared object, C headers and example program, by file name.

    Args:
        program: what the engine computes.
        manifest: of the artifact that the program was planned from.
        target: CPUs to compile for.
        extra: additional compiler options.
        compiler: None: the one of this system.

    Raises:
        Unavailable: there is no compiler, or it cannot compile for this target.
    """
    with tempfile.TemporaryDirectory() as directory:
        library = Path(directory) / LIBRARY
        _compile(compiler or require_compiler(), sources(program, manifest, target), target, extra, library)
        return {
            LIBRARY: library.read_bytes(),
            HEADER: interface(HEADER, program, manifest, target).encode(),
            EXAMPLE: interface(EXAMPLE, program, manifest, target).encode(),
            LOADING: loading().encode(),
        }


def cached_library(program: Program, manifest: Manifest, target: Target) -> Path:
    """The shared object of an engine, compiled now or taken from the cache.

    Its name in the cache contains a hash of the sources, the options and the compiler version.

    Raises:
        Unavailable: there is no compiler, or it cannot compile for this target.
    """
    compiler, files = require_compiler(), sources(program, manifest, target)
    parts = [compiler.version, *target.options, *FLAGS, *(text for item in sorted(files.items()) for text in item)]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    path = cache_directory() / "native" / f"{file_name(manifest.name)}-{key}.so"
    if not path.is_file():
        with tempfile.TemporaryDirectory() as directory:
            library = Path(directory) / LIBRARY
            _compile(compiler, files, target, (), library)
            write_bytes(path, library.read_bytes())
    return path


def _compile(compiler: Compiler, files: dict[str, str], target: Target, extra: tuple[str, ...], library: Path) -> None:
    folder = library.parent
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    command = [compiler.path, *FLAGS, *WARNINGS, *target.options, *extra, "engine.cpp", "-o", library.name, *_LINK]
    try:
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LONGEST, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            f"{compiler.version} did not finish compiling for {target.name} within {LONGEST} s", "Use another runtime."
        ) from error
    if ran.returncode:
        first = next((line for line in ran.stderr.splitlines() if "error" in line), ran.stderr.strip()[:200])
        raise Unavailable(
            f"{compiler.version} cannot compile for {target.name}: {first}", "Use another compiler, with CXX=PATH."
        )
