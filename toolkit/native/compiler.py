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
from toolkit.native.interface import SHARED, common_headers, interface
from toolkit.native.program import Program
from toolkit.native.source import headers, translation_unit
from toolkit.native.targets import LIBRARY, Target, is_this_machine
from toolkit.quoting import file_name
from toolkit.system.atomic import write_bytes
from toolkit.system.cache import cache_directory

# -ffp-contract=off: only explicit fused multiply-adds are fused, so that all targets compute the same bits.
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-fvisibility=hidden")
# -Bsymbolic: an engine calls its own functions, also where the program has others of the same names.
_LINK = ("-shared", "-Wl,-Bsymbolic,--as-needed", "-pthread", "-ldl")
WARNINGS = ("-Wall", "-Wextra", "-Wno-psabi", "-Wno-ignored-attributes")
LONGEST = 600
"""Compiler time limit in seconds."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler and the first line of its `--version`."""

    path: str
    version: str

    def has(self, library: str) -> bool:
        """Whether it finds a library, for instance `libstdc++.a`."""
        asked = _ask(self.path, f"-print-file-name={library}")
        return Path(asked).is_absolute()


def find_compiler(machine: str = "") -> Compiler | None:
    """The C++ compiler for a machine type, if one is installed and works; else None.

    Args:
        machine: as `platform.machine()` says; empty: this machine, whose compiler `$CXX` may name.
    """
    named = os.environ.get("CXX") if is_this_machine(machine) else None
    names = _names(machine)
    return _first_of((named, *names) if named else names, os.environ.get("PATH"))


def _names(machine: str) -> tuple[str, ...]:
    """Of the programs that may be a compiler for a machine type."""
    if is_this_machine(machine):
        return "c++", "g++", "clang++"
    return f"{machine}-linux-gnu-g++", f"{machine}-conda-linux-gnu-g++"


@cache
def _first_of(names: tuple[str, ...], directories: str | None) -> Compiler | None:
    for name in names:
        path = shutil.which(name, path=directories)
        if path is not None and (text := _ask(path, "--version")):
            return Compiler(path, text.splitlines()[0])
    return None


def _ask(path: str, option: str) -> str:
    """What a compiler answers; empty if it fails."""
    asked = subprocess.run([path, option], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    return asked.stdout if asked.returncode == 0 else ""


def compiler_remedy(machine: str = "") -> str:
    """How to install a compiler for a machine type, for people."""
    if is_this_machine(machine):
        return "Install a compiler: apt install g++ (Debian, Ubuntu), conda install gxx, or brew install gcc."
    debian, conda = (f"{name}-{machine.replace('_', '-')}" for name in ("g++", "gxx_linux"))
    return f"Install a compiler: apt install {debian}-linux-gnu (Debian, Ubuntu), or conda install {conda}."


def require_compiler(machine: str = "") -> Compiler:
    """The compiler for a machine type; see `find_compiler`.

    Raises:
        Unavailable: there is none.
    """
    found = find_compiler(machine)
    if found is None:
        names = ", ".join(_names(machine))
        raise Unavailable(
            f"the native engine needs a C++ compiler, and none was found ({names})", compiler_remedy(machine)
        )
    return found


def sources(program: Program, manifest: Manifest, target: Target) -> dict[str, str]:
    """All C++ source files of an engine, by file name."""
    definitions = interface("interface.cpp", program, manifest, target)
    shared = interface(SHARED, program, manifest, target)
    return {
        "engine.cpp": translation_unit(program, target, definitions),
        **common_headers(),
        SHARED: shared,
        **headers(),
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
            compile_library(compiler, files, target, Path(directory))
            write_bytes(path, (Path(directory) / LIBRARY).read_bytes())
    return path


def compile_library(
    compiler: Compiler,
    files: dict[str, str],
    target: Target,
    folder: Path,
    names: tuple[str, ...] = (LIBRARY,),
    options: tuple[str, ...] = (),
) -> None:
    """Compile `engine.cpp` to a shared object.

    Args:
        compiler: for the target's machine type.
        files: all source files by name.
        target: CPUs to compile for.
        folder: where sources and results are written.
        names: of the results. They are the same library under different names, which programs linked with it look for.
        options: for the compiler, besides those of all engines.

    Raises:
        Unavailable: the compiler cannot compile for this target.
    """
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    _run(compiler, target, folder, [*FLAGS, *WARNINGS, *target.options, *options, "-c", "engine.cpp", "-o", "engine.o"])
    for name in names:
        _run(compiler, target, folder, [*options, "engine.o", "-o", name, *_LINK, f"-Wl,-soname,{name}"])


def _run(compiler: Compiler, target: Target, folder: Path, arguments: list[str]) -> None:
    command = [compiler.path, *arguments]
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
