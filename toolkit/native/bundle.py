"""Files of an engine bundle: one shared object per target, and what C and C++ programs need to use them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from toolkit.artifact import Manifest
from toolkit.native.compiler import compile_library, require_compiler, sources
from toolkit.native.interface import (
    CMAKE,
    EXAMPLE,
    HEADER,
    PKG_CONFIG,
    choice_sources,
    common_headers,
    interface,
    symbol,
)
from toolkit.native.program import Program
from toolkit.native.source import headers
from toolkit.native.targets import LIBRARY, Target, library_files, linked_files
from toolkit.system.hardware import usable_cpus

_STATIC = (
    "-static-libstdc++",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wl,--gc-sections,--exclude-libs,ALL,-z,nodelete",
)
"""Options for files that run on other machines, whose C++ library may be older than the compiler's.

nodelete: that library allocates memory for exceptions when it is loaded, and does not free it; a program that closed
and opened an engine again and again would lose 72 KB each time.
"""


def bundle_files(program: Program, manifest: Manifest, targets: Sequence[Target]) -> dict[str, bytes]:
    """Compile an engine for one or more targets: shared objects, C header, example, CMake and pkg-config files.

    Args:
        program: what the engine computes.
        manifest: of the artifact that the program was planned from.
        targets: CPUs to compile for, the fastest first. With several, `engine.so` loads the fastest engine beside it
            that the CPU supports, among those for the machine type of the first target here, x86-64 if there is one.

    Returns:
        Contents by file name.

    Raises:
        Unavailable: there is no compiler, or it cannot compile for a target.
    """
    prefix = symbol(manifest.name)
    files, linked = library_files(prefix, targets), next(iter(linked_files(prefix, targets).values()))
    loaded: tuple[str, ...] = (LIBRARY, linked)
    if len(targets) == 1:
        jobs = [(sources(program, manifest, targets[0]), targets[0], loaded)]
    else:
        jobs = [(sources(program, manifest, target), target, (files[target.name],)) for target in targets]
        every_cpu = replace(targets[0], options=())
        jobs.append((headers() | choice_sources(program, manifest, targets), every_cpu, loaded))
    with ThreadPoolExecutor(usable_cpus()) as pool:
        libraries = list(pool.map(lambda job: portable_libraries(*job), jobs))
    texts = {HEADER: HEADER, EXAMPLE: EXAMPLE, f"{prefix}Config.cmake": CMAKE, f"{prefix}.pc": PKG_CONFIG}
    written = {file: interface(template, program, manifest, *targets) for file, template in texts.items()}
    # Programs with several engines include each by a name of its own.
    written |= {f"{prefix}.h": f'#include "{HEADER}"\n'} | common_headers()
    made = {file: text.encode() for file, text in written.items()}
    for library in libraries:
        made |= library
    return made


def portable_libraries(sources: dict[str, str], target: Target, names: tuple[str, ...]) -> dict[str, bytes]:
    """A shared object that needs nothing but the C library, under one or more names, which differ in what programs
    linked with it look for.

    Raises:
        Unavailable: there is no compiler for the target, or it fails.
    """
    compiler = require_compiler(target.machine)
    static = _STATIC if compiler.has("libstdc++.a") else ()
    with tempfile.TemporaryDirectory() as directory:
        compile_library(compiler, sources, target, Path(directory), names, ("-s", *static))
        return {name: (Path(directory) / name).read_bytes() for name in names}
