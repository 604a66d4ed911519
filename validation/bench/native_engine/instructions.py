"""Instructions per output pixel: a figure that other work on the machine does not change.

Counted by the CPU with `perf`, or by `valgrind`, which knows no AVX-512: on such CPUs it counts those of the engine for
AVX2. The count per frame is the difference between runs with different numbers of frames.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.native.compiler import require_compiler
from toolkit.native.targets import TARGETS, Target, find_target, missing
from toolkit.runtimes.options import BuildOptions
from toolkit.workloads import Shape

SIZE = Shape(16, 384)
"""Of the frames, where the network takes it. Rows and tiles of a large frame take the same instructions, apart from the
few at the edges; valgrind needs a second for a few thousand pixels."""
FEW, MANY = 1, 2


@dataclass(frozen=True)
class Counter:
    """How instructions of a command are counted, and for which target."""

    name: str
    target: Target
    count: Callable[[list[str]], int | None]


def find_counter() -> Counter:
    """The CPU's own counter, or valgrind.

    Raises:
        Unavailable: neither works here.
    """
    native = find_target("native")
    if shutil.which("perf") is not None and _by_perf(["true"]) is not None:
        return Counter("perf", native, _by_perf)
    if shutil.which("valgrind") is None:
        raise Unavailable("instructions cannot be counted: perf has no counters here, and there is no valgrind")
    known = next(target for target in TARGETS.values() if "avx512f" not in target.flags and not missing(target))
    reason = "" if known == native else f"valgrind knows no AVX-512, so not for {native.name}; "
    return Counter(f"{reason}valgrind", known, _by_valgrind)


def instructions(artifact: Artifact, counter: Counter, directory: Path) -> float:
    """Per output pixel, of an artifact's engine in one thread."""
    options = BuildOptions(target=(counter.target.name,))
    engine = toolkit.build(artifact, "native", options, directory).engine
    program = directory / "frames"
    source = Path(__file__).with_name("frames.c")
    compiler = [require_compiler().path, "-x", "c", "-O2", f"-I{engine.path}", str(source), "-o", str(program), "-ldl"]
    subprocess.run(compiler, check=True)
    manifest = artifact.manifest
    shape = manifest.sizes.extended(SIZE) if manifest.shape is None else Shape(*manifest.shape)
    command = [str(program), str(engine.file("engine.so")), *map(str, shape.sides)]
    few, many = (counter.count([*command, str(frames)]) for frames in (FEW, MANY))
    if few is None or many is None:
        raise Unavailable(f"{counter.name} counted no instructions of {manifest.name}")
    height, width = shape.upscaled(manifest.network.scale).sides
    return (many - few) / (MANY - FEW) / (height * width)


def _by_perf(command: list[str]) -> int | None:
    """None: it failed, or the CPU has no counter (in most virtual machines)."""
    counted = ["perf", "stat", "-x", ",", "-e", "instructions:u", *command]
    done = subprocess.run(counted, capture_output=True, text=True, check=False)
    found = re.search(r"^(\d+),[^,]*,instructions", done.stderr, re.MULTILINE)
    return int(found[1]) if done.returncode == 0 and found else None


def _by_valgrind(command: list[str]) -> int | None:
    counted = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", *command]
    done = subprocess.run(counted, capture_output=True, text=True, check=False)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    return int(found[1].replace(",", "")) if done.returncode == 0 and found else None
