"""The native runtime: an artifact compiled into a shared object by the system's C++ compiler."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.native.compiler import LONGEST, cached_library, compiled, find_compiler
from toolkit.native.convolutions import PRECISIONS
from toolkit.native.interface import LIBRARY
from toolkit.native.planner import plan
from toolkit.native.program import Program, Unsupported
from toolkit.native.targets import NATIVE, TARGETS, Target, find_target, missing
from toolkit.precisions import Precision
from toolkit.runtimes.building import BuildingRuntime, BuildJob
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.native.session import NativeSession
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.system.probe import Availability
from toolkit.workloads import Shape

_INTERFACE = "1"
"""Version of the shared object's C functions."""


class NativeRuntime(BuildingRuntime):
    """Computes all layers of a few rows while they are in the CPU cache; see docs/native-engine.md.

    An engine takes any size.
    """

    name = "native"
    description = "the toolkit's own engine, compiled for this CPU"
    options = frozenset({"target", "threads"})
    rehearsed: ClassVar[bool] = True
    rehearsal_seconds: ClassVar[float] = 2 * LONGEST  # with compiling
    builds_what_it_loads: ClassVar[bool] = False

    def _probe(self) -> Availability:
        if platform.system() != "Linux":
            return Availability(False, "its shared objects are built for Linux", "Run on Linux.")
        compiler = find_compiler()
        if compiler is None:
            return Availability(
                False, "there is no C++ compiler (c++, g++ or clang++)", "Install one: apt install g++."
            )
        return Availability(True, version=f"{compiler.version}, {find_target(NATIVE).name}")

    def probe_engine(self) -> Availability:
        """An engine needs no compiler."""
        return Availability(True)

    def refusal(self, artifact: Artifact, precision: Precision) -> str:
        if other := super().refusal(artifact, precision):
            return other
        if precision not in PRECISIONS.values():
            *others, last = PRECISIONS.values()
            return f"it computes in {', '.join(others)} and {last}"
        if self.probe().ok:
            self.rehearse(artifact)  # before its graph is read here: one separate process serves both
        try:
            _program(artifact.path, artifact.manifest.onnx_sha256)
        except Unsupported as error:
            return str(error)
        return ""

    def _accept(self, artifact: Artifact, options: BuildOptions) -> Shape | None:
        shape = super()._accept(artifact, options)
        if artifact.manifest.shape is not None:
            return shape
        if options.shape is not None:
            raise InputError("a native engine takes every size that its artifact takes", "Leave out --shape.")
        return None

    def _load(self, artifact: Artifact, precision: Precision, options: SessionOptions) -> Session:
        target = find_target(NATIVE)
        program = _program(artifact.path, artifact.manifest.onnx_sha256)
        library = cached_library(program, artifact.manifest, target)
        return NativeSession(artifact, library, target, options.resolved_threads())

    def identity(self, options: BuildOptions) -> dict[str, str]:
        return {"interface": _INTERFACE, "target": _target(options).name}

    def settings(self, options: BuildOptions) -> dict[str, str]:
        return super().settings(options) | {"target": _target(options).name}

    def mismatch(self, engine: Engine) -> str:
        """An engine runs on every CPU with its target's instructions, not only where it was built."""
        built = engine.info.identity
        if built.get("interface") != _INTERFACE or built.get("target") not in TARGETS:
            return f"it was built by another version of the toolkit ({built})"
        lacking = missing(TARGETS[built["target"]])
        return f"it was built for {built['target']}, and this machine lacks {lacking}" if lacking else ""

    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        manifest, target = job.artifact.manifest, _target(job.options)
        program = _program(job.artifact.path, manifest.onnx_sha256)
        compiler = find_compiler()
        counts: dict[str, int] = {}
        for precision in program.executed.values():
            counts[precision] = counts.get(precision, 0) + 1
        read_back = {
            "compiler": "" if compiler is None else compiler.version,
            "executed": ", ".join(f"{precision}: {count} nodes" for precision, count in counts.items()),
            "stages": str(len(program.stages)),
        }
        return compiled(program, manifest, target), read_back

    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        artifact = Artifact(engine.file(LIBRARY), engine.manifest)
        return NativeSession(
            artifact, engine.file(LIBRARY), TARGETS[engine.info.identity["target"]], options.resolved_threads()
        )


def _target(options: BuildOptions) -> Target:
    if len(options.target) > 1:
        raise InputError(f"a native engine has one target, not {', '.join(options.target)}")
    return find_target(options.target[0] if options.target else NATIVE)


@lru_cache(maxsize=16)
def _program(path: Path, sha256: str) -> Program:  # noqa: ARG001  (a file may change under its name)
    return plan(path, Artifact.read(path).manifest)
