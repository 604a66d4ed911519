"""The base class of runtimes that build engines: what an artifact is compiled to ahead of time."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, InputError, OutputExists, ToolkitError, Unavailable
from toolkit.graph.reading import check_graph
from toolkit.kinds import ENGINE_SUFFIX
from toolkit.runtimes.engine import Engine, EngineInfo, engine_path, find_engines, is_bundle, write_engine
from toolkit.runtimes.options import BuildOptions, SessionOptions
from toolkit.runtimes.protocol import Runtime, Session
from toolkit.runtimes.rehearsal import rehearse
from toolkit.runtimes.script import ScriptJob, Timing
from toolkit.system.atomic import sha256_of_file
from toolkit.system.foreign import foreign
from toolkit.system.hardware import INSTRUCTIONS
from toolkit.system.probe import Availability, require
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import WORKLOADS, Shape

_KEEP_BUNDLE = (
    "Give the bundle itself to run it, build into another directory with --output, or replace it with --overwrite."
)


@dataclass(frozen=True)
class BuildJob:
    """An engine to build.

    Attributes:
        artifact: what it is built from.
        shape: input size it is built for; None: any.
        options: as given.
        identity: what the engine will depend on.
        directory: of the bundle.
        progress: called as each step begins.
    """

    artifact: Artifact
    shape: Shape | None
    options: BuildOptions
    identity: dict[str, str]
    directory: Path
    progress: ProgressCallback = no_progress

    def earlier(self, runtime: str) -> list[Engine]:
        """Valid bundles of a runtime in the same directory with the same identity, the newest last.

        They provide kernel timings. For each of the others, the reason why it does not is reported.
        """
        fitting = []
        for path in find_engines(self.directory):
            if not path.name.endswith(f".{runtime}{ENGINE_SUFFIX}"):
                continue
            try:
                engine = Engine.read(path)
            except ToolkitError as error:
                self.progress(Progress(f"no timings from {path.name}: {error.args[0]}"))
                continue
            if engine.info.runtime == runtime and engine.info.identity == self.identity:
                fitting.append(engine)
            else:
                self.progress(Progress(f"no timings from {path.name}: it was built for something else"))
        return sorted(fitting, key=lambda engine: engine.path.stat().st_mtime)


@dataclass(frozen=True)
class Built:
    """An engine, and whether it was built now or existed already."""

    engine: Engine
    fresh: bool


class BuildingRuntime(Runtime):
    """A runtime that builds engines. A subclass also implements `identity`, `_build` and `_load_engine`."""

    options: frozenset[str] = frozenset()
    """Names of the `BuildOptions`, as on the command line, that it has besides `shape`."""
    builds_what_it_loads: ClassVar[bool] = True
    """Whether a build loads the graph with the library that runs it, and so is rehearsed like loading."""
    rehearses_engines: ClassVar[bool] = False
    """Whether engines that were not built here are first loaded in a separate process."""
    one_size_engines: ClassVar[bool] = False
    """Whether an engine takes only the input size that it was built for."""

    def probe_build(self) -> Availability:
        """Whether it can build here; by default, whether it can run artifacts."""
        return self.probe()

    def probe_engine(self) -> Availability:
        """Whether it can run engines here; by default, whether it can run artifacts."""
        return self.probe()

    @abstractmethod
    def identity(self, options: BuildOptions) -> dict[str, str]:
        """What an engine built here depends on, and what must be the same where it is loaded."""

    def machine(self) -> dict[str, str]:
        """More facts about this machine, for people. They are not compared."""
        return {}

    def settings(self, options: BuildOptions) -> dict[str, str]:
        """Values in effect of all build options that it has."""
        return options.settings(self.options)

    @abstractmethod
    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        """Files of the engine, and what the runtime reports about it."""

    @abstractmethod
    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        """A session for an engine whose identity matches this machine."""

    def build(
        self,
        artifact: Artifact,
        options: BuildOptions = BuildOptions(),
        directory: Path | None = None,
        progress: ProgressCallback = no_progress,
        *,
        overwrite: bool = False,
    ) -> Built:
        """Build an engine bundle, or return the existing one where building again would give the same.

        A bundle that is damaged, or does not load here any more, is built again.

        Args:
            artifact: what to build from.
            options: how to build.
            directory: for the bundle; None: the artifact's.
            progress: called as each step begins.
            overwrite: replace a valid bundle of another artifact or with other options.

        Raises:
            Unavailable: the runtime does not work here, or cannot take the artifact.
            InputError: an option that this runtime does not have, or a shape that the artifact cannot have.
            OutputExists: a valid bundle of that name was built from another artifact or with other options, and
                `overwrite` is false; or the existing path is not a bundle.
        """
        require(f"building for {self.name}", self.probe_build())
        shape = self._accept(artifact, options)
        path = engine_path(artifact, self.name, directory)
        identity = self.identity(options)
        if os.path.lexists(path):
            if present := _still_fits(path, artifact, options, identity):
                return Built(present, fresh=False)
            self._check_replaceable(path, artifact, options, shape, overwrite=overwrite)
        progress(Progress(f"building {path.name}"))
        if self.builds_what_it_loads and self.rehearsed:
            self.rehearse(artifact)
        else:
            check_graph(artifact.path)
        begin = time.perf_counter()
        with foreign(f"{self.name} cannot build {artifact.path}"):
            files, read_back = self._build(BuildJob(artifact, shape, options, identity, path.parent, progress))
        info = EngineInfo(
            runtime=self.name,
            artifact=artifact.manifest.name,
            artifact_sha256=artifact.manifest.onnx_sha256,
            precision=artifact.manifest.precision,
            shape=None if shape is None else shape.sides,
            one_size=self.one_size_engines,
            identity=identity,
            machine=self.machine(),
            options=options.described(),
            settings=self.settings(options),
            build_seconds=round(time.perf_counter() - begin, 3),
            files={},
            read_back=read_back,
        )
        return Built(write_engine(path, info, artifact, files), fresh=True)

    def _check_replaceable(
        self, path: Path, artifact: Artifact, options: BuildOptions, shape: Shape | None, *, overwrite: bool
    ) -> None:
        """Refuse, before any work, to replace a bundle that is still of use."""
        if not is_bundle(path):
            raise OutputExists(f"{path} exists and is not an engine bundle", "Move it, or name another directory.")
        try:
            engine = Engine.read(path)
            stale = bool(self.mismatch(engine))
        except ToolkitError:
            return  # damaged, or of a version that is not read any more
        if overwrite or stale:
            return
        if engine.info.artifact_sha256 != artifact.manifest.onnx_sha256:
            raise OutputExists(f"{path} exists, and was built from another artifact", _KEEP_BUNDLE)
        here = {"shape": str(shape or "any"), **self.settings(options)}
        there = {"shape": str(engine.built_for or "any"), **engine.info.settings}
        differing = [name for name in here | there if here.get(name) != there.get(name)]
        if differing:
            described = ", ".join(f"{name} {there.get(name, 'unknown')}" for name in differing)
            raise OutputExists(f"{path} exists, and was built with other options: {described}", _KEEP_BUNDLE)

    def script(self, artifact: Artifact, options: BuildOptions, onnx: Path, timing: Timing | None = None) -> str:
        """A Python script that builds the same engine without the toolkit and runs one frame, or times frames.

        The runtime need not work here.

        Args:
            artifact: what to build from.
            options: how to build.
            onnx: the artifact's path from the script's directory.
            timing: how to time frames; None: run one frame.

        Raises:
            Unavailable: the runtime cannot take the artifact.
            InputError: an option that this runtime does not have, a shape that the artifact cannot have, or no scripts.
        """
        return self._script(ScriptJob(self.name, artifact, self._accept(artifact, options), options, onnx, timing))

    def _script(self, subject: ScriptJob) -> str:
        """The script for a valid request."""
        raise InputError(f"there are no scripts for {self.name}")

    def _accept(self, artifact: Artifact, options: BuildOptions) -> Shape | None:
        """Check that the artifact can be built with these options, and return the shape to build for."""
        if refusal := self.refusal(artifact, artifact.manifest.precision):
            raise Unavailable(f"{self.name} cannot build {artifact.manifest.name}: {refusal}")
        if unknown := options.described().keys() - self.options - {"shape"}:
            raise InputError(f"{self.name} has no option {', '.join(sorted(unknown))}")
        return _shape(artifact, options)

    def load_engine(self, engine: Engine, options: SessionOptions | None = None) -> Session:
        """A session for an engine.

        Raises:
            Unavailable: the runtime does not work here, or the engine was built for something else; with the command
                that builds it again.
            ArtifactError: the runtime cannot read the engine, or crashed when a separate process loaded it.
        """
        require(self.name, self.probe_engine())
        if mismatch := self.mismatch(engine):
            raise Unavailable(f"{engine.path} does not fit: {mismatch}", f"Build it again: {engine.rebuild_command}")
        options = options or SessionOptions()
        if self.rehearses_engines:
            rehearse(
                self.name,
                self.probe().version,
                engine.path,
                engine.manifest,
                engine.info.seal,
                self.rehearsal_seconds,
                engine.fixed,
            )
        with foreign(f"{self.name} cannot load {engine.path}", f"Build it again: {engine.rebuild_command}"):
            return self._load_engine(engine, options if options.threads else SessionOptions(engine.options.threads))

    def mismatch(self, engine: Engine) -> str:
        """What differs here from where, and from what, the engine was built; empty when it fits."""
        here = self.identity(engine.options)
        wrong = [
            _difference(key, here.get(key, "unknown"), value)
            for key, value in engine.info.identity.items()
            if here.get(key) != value
        ]
        return "; ".join([*_outdated(engine), *wrong])


def _difference(key: str, here: str, there: str) -> str:
    if key != INSTRUCTIONS:
        return f"{key} is {here} here, and it was built for {there}"
    lacking, more = set(there.split()) - set(here.split()), set(here.split()) - set(there.split())
    if lacking:
        return f"the processor here lacks {' '.join(sorted(lacking))}"
    return f"the processor here has {' '.join(sorted(more))}, and kernels were chosen without"


def _outdated(engine: Engine) -> list[str]:
    """The mismatch, if any, between the artifact beside an engine and the one that it was built from."""
    onnx = engine.path.parent / f"{engine.info.artifact}.onnx"
    if not onnx.is_file() or sha256_of_file(onnx) == engine.info.artifact_sha256:
        return []
    return [f"{onnx.name} beside it is another than the one it was built from"]


def _shape(artifact: Artifact, options: BuildOptions) -> Shape | None:
    manifest = artifact.manifest
    if manifest.shape is not None:
        fixed = Shape(*manifest.shape)
        if options.shape not in (None, fixed):
            raise InputError(f"{manifest.name} accepts only {fixed}, not {options.shape}", "Export without --shape.")
        return fixed
    if options.shape is not None:
        if refusal := manifest.sizes.refusal(options.shape):
            taken = manifest.sizes.extended(options.shape)
            raise InputError(
                f"{options.shape} {refusal}", f"Build for {taken}: sessions extend smaller images and crop the result."
            )
        return options.shape
    if manifest.workload is None:
        return None
    if manifest.workload not in WORKLOADS:
        raise ArtifactError(
            f"{manifest.name} names a workload {manifest.workload!r}, which does not exist", "Export it again."
        )
    return WORKLOADS[manifest.workload].shape


def _still_fits(path: Path, artifact: Artifact, options: BuildOptions, identity: dict[str, str]) -> Engine | None:
    """The bundle at `path`, if building again would give the same."""
    try:
        engine = Engine.read(path)
    except ToolkitError:
        return None  # damaged: it is built again
    info = engine.info
    same = (info.artifact_sha256, info.options, info.identity)
    return engine if same == (artifact.manifest.onnx_sha256, options.described(), identity) else None
