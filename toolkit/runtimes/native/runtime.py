"""The native runtime: an artifact compiled into a shared object by the system's C++ compiler."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.native.bundle import bundle_files
from toolkit.native.compiler import LONGEST, cached_library, compiler_remedy, find_compiler, require_compiler
from toolkit.native.convolutions import PRECISIONS
from toolkit.native.interface import symbol
from toolkit.native.planner import plan
from toolkit.native.prebuilt import any_prebuilt, find_prebuilt, why_no_prebuilt
from toolkit.native.program import Program, Unsupported
from toolkit.native.targets import (
    NATIVE,
    TARGETS,
    Target,
    find_target,
    find_targets,
    is_this_machine,
    library_files,
    missing,
)
from toolkit.native.winograd import avoided_multiply_adds
from toolkit.precisions import Precision
from toolkit.runtimes.building import BuildingRuntime, BuildJob
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.native.session import NativeSession
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.system.probe import Availability
from toolkit.workloads import Shape

_INTERFACE = "3"
"""Version of the shared object's C functions."""


class NativeRuntime(BuildingRuntime):
    """Computes all layers of a few rows while they are in the CPU cache; see docs/native-engine.md.

    An engine takes any size.
    """

    name = "native"
    description = "the toolkit's own engine, compiled for this CPU"
    options = frozenset({"target", "threads"})
    takes_yuv420: ClassVar[bool] = True
    rehearsed: ClassVar[bool] = True
    rehearsal_seconds: ClassVar[float] = 2 * LONGEST  # with compiling
    builds_what_it_loads: ClassVar[bool] = False

    def _probe(self) -> Availability:
        if platform.system() != "Linux":
            return Availability(False, "its shared objects are built for Linux", "Run on Linux.")
        compiler = find_compiler()
        if compiler is None and not any_prebuilt():
            return Availability(False, "there is no C++ compiler (c++, g++ or clang++)", compiler_remedy())
        by = "engines of the toolkit's own networks" if compiler is None else compiler.version
        return Availability(True, version=f"{by}, {find_target(NATIVE).name}")

    def probe_engine(self) -> Availability:
        """An engine needs no compiler."""
        return Availability(True)

    def refusal(self, artifact: Artifact, precision: Precision) -> str:
        if other := super().refusal(artifact, precision):
            return other
        if precision not in PRECISIONS.values():
            *others, last = PRECISIONS.values()
            return f"it computes in {', '.join(others)} and {last}"
        if find_compiler() is None and find_prebuilt(artifact.manifest) is None:
            why = why_no_prebuilt(artifact.manifest)
            return f"there is no C++ compiler, and {why}. {compiler_remedy()} Or build it elsewhere, with --target."
        if self.probe().ok:
            self.rehearse(artifact)  # before its graph is read here: one separate process serves both
        try:
            _program(artifact.path, artifact.manifest.onnx_sha256)
        except Unsupported as error:
            return str(error)
        return ""

    def avoided_multiply_adds(self, artifact: Artifact, shape: Shape) -> int:
        return avoided_multiply_adds(_program(artifact.path, artifact.manifest.onnx_sha256), shape)

    def _accept(self, artifact: Artifact, options: BuildOptions) -> Shape | None:
        shape = super()._accept(artifact, options)
        if artifact.manifest.shape is not None:
            return shape
        if options.shape is not None:
            raise InputError("a native engine takes every size that its artifact takes", "Leave out --shape.")
        return None

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        target = find_target(NATIVE)
        found = find_prebuilt(artifact.manifest)
        if found is not None and (found[1].computes_like(target, precision) or find_compiler() is None):
            return NativeSession(artifact, *found, options.resolved_threads())
        program = _program(artifact.path, artifact.manifest.onnx_sha256)
        library = cached_library(program, artifact.manifest, target)
        return NativeSession(artifact, library, target, options.resolved_threads())

    def identity(self, options: BuildOptions) -> dict[str, str]:
        return {"interface": _INTERFACE, "target": _joined(_targets(options))}

    def settings(self, options: BuildOptions) -> dict[str, str]:
        return super().settings(options) | {"target": _joined(_targets(options))}

    def mismatch(self, engine: Engine) -> str:
        """An engine runs on every CPU with the instructions of one of its targets, not only where it was built."""
        built = engine.info.identity
        targets = _built_for(engine)
        if built.get("interface") != _INTERFACE or not targets:
            return f"it was built by another version of the toolkit ({built})"
        if any(not missing(target) for target in targets):
            return ""
        slowest = targets[-1]
        lacks = "this machine lacks " if is_this_machine(slowest.machine) else ""
        return f"it was built for {_joined(targets)}, and {lacks}{missing(slowest)}"

    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        manifest, targets = job.artifact.manifest, _targets(job.options)
        program = _program(job.artifact.path, manifest.onnx_sha256)
        counts: dict[str, int] = {}
        for precision in program.executed.values():
            counts[precision] = counts.get(precision, 0) + 1
        compilers = dict.fromkeys(require_compiler(target.machine).version for target in targets)
        read_back = {
            "compiler": ", ".join(compilers),
            "executed": ", ".join(f"{precision}: {count} nodes" for precision, count in counts.items()),
            "stages": str(len(program.stages)),
        }
        return bundle_files(program, manifest, targets), read_back

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        return _session(engine, options)


def _targets(options: BuildOptions) -> tuple[Target, ...]:
    return find_targets(options.target or [NATIVE])


def _joined(targets: Sequence[Target]) -> str:
    return ",".join(target.name for target in targets)


def _built_for(engine: Engine) -> tuple[Target, ...]:
    """Targets of a bundle, the fastest first; none if this version does not know one of them."""
    names = engine.info.identity.get("target", "").split(",")
    return find_targets(names) if set(names) <= TARGETS.keys() else ()


def _session(engine: Engine, options: SessionOptions) -> Session:
    """With the fastest engine of the bundle that this machine supports."""
    targets = _built_for(engine)
    target = next(target for target in targets if not missing(target))
    library = engine.file(library_files(symbol(engine.manifest.name), targets)[target.name])
    return NativeSession(Artifact(library, engine.manifest), library, target, options.resolved_threads())


@lru_cache(maxsize=16)
def _program(path: Path, sha256: str) -> Program:  # noqa: ARG001  (a file may change under its name)
    return plan(path, Artifact.read(path).manifest)
