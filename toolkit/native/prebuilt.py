"""Engines of the toolkit's own networks that wheels carry, so that those networks need no compiler.

`make wheel` compiles them; a source tree has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from toolkit.artifact import Artifact, Manifest
from toolkit.native.bundle import portable_libraries
from toolkit.native.compiler import find_compiler, sources
from toolkit.native.planner import plan
from toolkit.native.program import Program
from toolkit.native.targets import LIBRARY, TARGETS, Target, missing
from toolkit.quoting import file_name
from toolkit.system.hardware import usable_cpus

DIRECTORY = Path(str(files("toolkit.native"))) / "prebuilt"
"""Where wheels have them."""


def any_prebuilt() -> bool:
    """Whether this installation has prebuilt engines."""
    return DIRECTORY.is_dir()


def find_prebuilt(manifest: Manifest) -> tuple[Path, Target] | None:
    """The fastest prebuilt engine of an artifact for this CPU, and what it was compiled for; None if there is none."""
    return next((item for item in _all_prebuilt(manifest) if not missing(item[1])), None)


def why_no_prebuilt(manifest: Manifest) -> str:
    """What to say of an artifact for which `find_prebuilt` finds none."""
    built = [target.name for _, target in _all_prebuilt(manifest)]
    if built:
        return f"the engines of this network that come with the toolkit are for other CPUs ({', '.join(built)})"
    return "no engine of this network comes with the toolkit"


def _all_prebuilt(manifest: Manifest) -> Iterator[tuple[Path, Target]]:
    """Those of an artifact, for whatever CPU, the fastest first."""
    for target in TARGETS.values():
        path = DIRECTORY / _file(manifest, target)
        if path.is_file():
            yield path, target


def prebuilt_targets(precision: str) -> tuple[Target, ...]:
    """Targets whose engines differ for artifacts of a precision. The scalar one is only a reference.

    Of those that compute alike, the one with the fewest requirements. A precision that some CPUs have instructions for
    is no faster than float32 on the others, for which none are made.
    """
    fast = [target for target in TARGETS.values() if precision in target.fast]
    chosen: list[Target] = []
    for target in reversed(fast or TARGETS.values()):
        if target.machine and not any(target.computes_like(other, precision) for other in chosen):
            chosen.append(target)
    return tuple(chosen)


def prebuild(artifacts: Sequence[Artifact], directory: Path) -> tuple[list[Path], list[Target]]:
    """Compile engines of artifacts for all CPUs.

    Args:
        artifacts: of the toolkit's own networks.
        directory: where they are written.

    Returns:
        The files that were written, and targets that were left out because there is no compiler for them.

    Raises:
        Unavailable: a compiler fails.
    """
    wanted = [(artifact, prebuilt_targets(artifact.manifest.precision)) for artifact in artifacts]
    used = {target for _, chosen in wanted for target in chosen}
    left_out = [target for target in TARGETS.values() if target in used and find_compiler(target.machine) is None]
    with ThreadPoolExecutor(usable_cpus()) as pool:
        jobs = []
        for artifact, chosen in wanted:
            program = plan(artifact.path, artifact.manifest)
            able = [target for target in chosen if target not in left_out]
            jobs += [pool.submit(_prebuilt, program, artifact.manifest, target, directory) for target in able]
    return [job.result() for job in jobs], left_out


def _prebuilt(program: Program, manifest: Manifest, target: Target, directory: Path) -> Path:
    (content,) = portable_libraries(sources(program, manifest, target), target, (LIBRARY,)).values()
    path = directory / _file(manifest, target)
    path.write_bytes(content)
    return path


def _file(manifest: Manifest, target: Target) -> str:
    """The same graph under the same name is the same engine, in one version of the toolkit."""
    return f"{file_name(manifest.name)}-{manifest.onnx_sha256[:16]}.{target.name}.so"
