"""Runtimes that compile an artifact into an engine ahead of time."""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from toolkit.artifact import Artifact
from toolkit.errors import ArtifactError, InputError, OutputExists, ToolkitError, Unavailable
from toolkit.graph.reading import check_graph
from toolkit.kinds import ENGINE_SUFFIX
from toolkit.runtimes.engine import Engine, EngineInfo, engine_path, find_engines, is_bundle, write_engine
from toolkit.runtimes.protocol import Availability, Runtime, Session, SessionOptions, check_threads, require
from toolkit.runtimes.rehearsal import rehearse
from toolkit.runtimes.script import Subject, Timing
from toolkit.system.atomic import sha256_of_file
from toolkit.system.foreign import foreign
from toolkit.system.hardware import INSTRUCTIONS
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import WORKLOADS, Shape

_KEEP_BUNDLE = (
    "Name the bundle to run it as it is, build into another directory with --output, or replace it with --overwrite."
)
_LEVELS = 6
"""TensorRT's builder optimization levels, from 0. A higher one would be taken for the highest, without a word."""


@dataclass(frozen=True)
class BuildOptions:
    """How an engine is built. What a runtime has no use for is refused, not ignored.

    Attributes:
        shape: input size it is built for; None: the artifact's own, else that of its 4K workload.
        target: compute capabilities, for instance `sm86`, of GPUs that need not be here.
        threads: processor threads it is built for; 0: all usable.
        optimization_level: TensorRT's builder optimization level, 0 to 5.
        version_compatible: loadable by later TensorRT versions.
        hardware_compatible: loadable on later GPUs than this one.
        tf32: allow TF32 in float32 convolutions, which keeps 10 of 23 mantissa bits.
        cuda_graph: replay each frame's kernels as one CUDA graph; None: yes, as sizes and addresses stay the same.
        nhwc: let ONNX Runtime's CUDA provider keep channels last; None: yes, as tensor cores take them so.

    Raises:
        InputError: a number that is out of range.
    """

    shape: Shape | None = None
    target: tuple[str, ...] = ()
    threads: int = 0
    optimization_level: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    tf32: bool = False
    cuda_graph: bool | None = None
    nhwc: bool | None = None

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if self.optimization_level not in (None, *range(_LEVELS)):
            raise InputError(f"optimization-level {self.optimization_level} must be 0 to {_LEVELS - 1}")

    def described(self) -> dict[str, str]:
        """As command-line options, leaving out what is not set."""
        given = {
            "shape": "" if self.shape is None else str(self.shape),
            "target": ",".join(dict.fromkeys(target.lower() for target in self.target)),
            "threads": str(self.threads or ""),
            "optimization-level": "" if self.optimization_level is None else str(self.optimization_level),
            "version-compatible": "true" if self.version_compatible else "",
            "hardware-compatible": "true" if self.hardware_compatible else "",
            "tf32": "true" if self.tf32 else "",
            "cuda-graph": _switch(self.cuda_graph),
            "nhwc": _switch(self.nhwc),
        }
        return {name: value for name, value in given.items() if value}

    def settings(self, names: Collection[str]) -> dict[str, str]:
        """These options, as they are in force."""
        given = self.described()
        return {name: given.get(name, _UNSET[name]) for name in sorted(names)}


_UNSET = {
    "target": "the GPU here",
    "threads": "all usable",
    "optimization-level": "TensorRT's own",
    "version-compatible": "false",
    "hardware-compatible": "false",
    "tf32": "false",
    "cuda-graph": "true",
    "nhwc": "true",
}
"""What it means when an option is not given."""


@dataclass(frozen=True)
class BuildJob:
    """An engine that is to be built.

    Attributes:
        artifact: what is built from.
        shape: input size it is built for; None: any.
        options: as they were given.
        identity: what the engine will depend on.
        directory: where the bundle will lie.
        progress: called as each step begins.
    """

    artifact: Artifact
    shape: Shape | None
    options: BuildOptions
    identity: dict[str, str]
    directory: Path
    progress: ProgressCallback = no_progress

    def earlier(self, runtime: str) -> list[Engine]:
        """Sound bundles of a runtime in the same directory, built for the same; the newest last.

        Kernel timings are theirs to give. Of the others it is reported why they have none.
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
    """An engine, and whether it had to be built or was there already."""

    engine: Engine
    fresh: bool


class BuildingRuntime(Runtime):
    """A runtime with engines."""

    options: frozenset[str] = frozenset()
    """Names of the `BuildOptions` (as on the command line) that it understands, besides `shape`."""
    builds_what_it_loads: ClassVar[bool] = True
    """Whether building gives the graph to the library that loads it, and is rehearsed like loading."""
    rehearses_engines: ClassVar[bool] = False
    """Whether engines that were not built here are loaded in a process of their own first."""

    def probe_build(self) -> Availability:
        """Whether it can build here; by default where it can run."""
        return self.probe()

    def probe_engine(self) -> Availability:
        """Whether it can run engines here; by default where it can run artifacts."""
        return self.probe()

    @abstractmethod
    def identity(self, options: BuildOptions) -> dict[str, str]:
        """All that an engine built now depends on, and that must be the same where it is loaded."""

    def machine(self) -> dict[str, str]:
        """What else is known of where an engine is built now: for people, not compared."""
        return {}

    def settings(self, options: BuildOptions) -> dict[str, str]:
        """All options that it has, as they are in force."""
        return options.settings(self.options)

    @abstractmethod
    def _build(self, job: BuildJob) -> tuple[dict[str, bytes], dict[str, str]]:
        """Files of the engine, and what the runtime says about it."""

    @abstractmethod
    def _load_engine(self, engine: Engine, options: SessionOptions) -> Session:
        """A session for an engine whose identity fits."""

    def build(
        self,
        artifact: Artifact,
        options: BuildOptions = BuildOptions(),
        directory: Path | None = None,
        progress: ProgressCallback = no_progress,
        *,
        overwrite: bool = False,
    ) -> Built:
        """Build an engine bundle beside the artifact, or find that it is there and still fits.

        A bundle that is damaged, or does not load here any more, is built again.

        Raises:
            Unavailable: the runtime is not there, or cannot take the artifact.
            InputError: an option that this runtime does not have, or a shape the artifact cannot have.
            OutputExists: a sound bundle of that name was built from another artifact or with other options, and
                `overwrite` is false; or what has that name is not a bundle.
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
        """See before any work that building replaces no bundle that is still of use."""
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
            told = ", ".join(f"{name} {there.get(name, 'unknown')}" for name in differing)
            raise OutputExists(f"{path} exists, and was built with other options: {told}", _KEEP_BUNDLE)

    def script(self, artifact: Artifact, options: BuildOptions, onnx: Path, timing: Timing | None = None) -> str:
        """A Python script that builds the same without the toolkit and runs one frame, or times frames.

        It is written whether or not the runtime works here. `onnx` is the artifact's path from where the script lies.

        Raises:
            Unavailable: the runtime cannot take the artifact.
            InputError: an option that this runtime does not have, a shape the artifact cannot have, or no scripts.
        """
        return self._script(Subject(self.name, artifact, self._accept(artifact, options), options, onnx, timing))

    def _script(self, subject: Subject) -> str:
        """The script for a request that was accepted."""
        raise InputError(f"there are no scripts for {self.name}")

    def _accept(self, artifact: Artifact, options: BuildOptions) -> Shape | None:
        """The shape to build for, if there is nothing against building."""
        if refusal := self.refusal(artifact, artifact.manifest.precision):
            raise Unavailable(f"{self.name} cannot build {artifact.manifest.name}: {refusal}")
        if unknown := options.described().keys() - self.options - {"shape"}:
            raise InputError(f"{self.name} has no option {', '.join(sorted(unknown))}")
        return _shape(artifact, options)

    def load_engine(self, engine: Engine, options: SessionOptions | None = None) -> Session:
        """A session for an engine.

        Raises:
            Unavailable: the runtime is not there, or the engine was built for something else; with the command that
                builds it again.
            ArtifactError: the runtime cannot read the engine, or crashed when it was rehearsed.
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
            return self._load_engine(engine, options if options.threads else SessionOptions(engine.threads))

    def mismatch(self, engine: Engine) -> str:
        """What is different here from where and from what the engine was built; empty when it fits."""
        given = engine.info.options
        here = self.identity(
            BuildOptions(
                target=tuple(filter(None, given.get("target", "").split(","))),
                version_compatible="version-compatible" in given,
                hardware_compatible="hardware-compatible" in given,
            )
        )
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
    """Whether the artifact that lies beside an engine is not the one that it was built from."""
    onnx = engine.path.parent / f"{engine.info.artifact}.onnx"
    if not onnx.is_file() or sha256_of_file(onnx) == engine.info.artifact_sha256:
        return []
    return [f"{onnx.name} beside it is another than the one it was built from"]


def _switch(value: bool | None) -> str:
    return "" if value is None else str(value).lower()


def _shape(artifact: Artifact, options: BuildOptions) -> Shape | None:
    manifest = artifact.manifest
    if manifest.shape is not None:
        fixed = Shape(*manifest.shape)
        if options.shape not in (None, fixed):
            raise InputError(f"{manifest.name} is made for {fixed}, not {options.shape}", "Export without --shape.")
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
            f"{manifest.name} names a workload {manifest.workload!r}, which there is none of", "Export it again."
        )
    return WORKLOADS[manifest.workload].shape


def _still_fits(path: Path, artifact: Artifact, options: BuildOptions, identity: dict[str, str]) -> Engine | None:
    """The bundle at `path`, when building again would make the same."""
    try:
        engine = Engine.read(path)
    except ToolkitError:
        return None  # damaged: it is built anew
    info = engine.info
    same = (info.artifact_sha256, info.options, info.identity)
    return engine if same == (artifact.manifest.onnx_sha256, options.described(), identity) else None
