"""Compiles engines of the tests faster: with less optimisation, and with the headers of C++ read once per target.

An engine has the same bits at any level of optimisation: -ffp-contract=off forbids what would change them. The level of
the product is used for whole networks, the tile instructions, the sanitizers and bundles, and where `CI` is set.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from toolkit.native import compiler
from toolkit.native.source import headers
from toolkit.native.targets import Target
from toolkit.system.atomic import new_file
from toolkit.system.cache import cache_directory

_SOME_MACHINES = {"<arm_neon.h>", "<cpuid.h>", "<immintrin.h>"}


@contextmanager
def quick_compiler(target: Target) -> Iterator[None]:
    """Within it `toolkit.native.compiler` compiles for this target as said above."""
    if os.environ.get("CI"):
        yield
        return
    flags = ("-Og", *(flag for flag in compiler.FLAGS if flag != "-O3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "FLAGS", (*flags, "-include", str(_read_once(target, flags))))
        yield


def _read_once(target: Target, flags: tuple[str, ...]) -> Path:
    """A header that includes those of C++, which the compiler has read already."""
    header = cache_directory() / "quick" / target.name / "standard.h"
    read = header.with_name("standard.h.gch")  # where GCC looks for it
    if not read.is_file():
        named = set(re.findall("#include (<.*>)", "\n".join(headers().values())))
        vectors = {"<immintrin.h>"} if target.machine == "x86_64" else set()
        lines = [f"#include {name}" for name in sorted(named - _SOME_MACHINES | vectors)]
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text("\n".join(lines))
        options = [*flags, *compiler.WARNINGS, *target.options]
        with new_file(read) as temporary:
            command = [
                compiler.require_compiler().path,
                *options,
                "-x",
                "c++-header",
                str(header),
                "-o",
                str(temporary),
            ]
            subprocess.run(command, check=True)
    return header
