"""Subject: a network on a runtime, which is what is verified, evaluated, profiled and used for upscaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.artifact import Artifact, Contract, Manifest
from toolkit.errors import InputError
from toolkit.kinds import Kind, require_kind, split_runtime
from toolkit.network.bundled_files import Purpose
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.pytorch.checkpoint import checkpoint_contract
from toolkit.runtimes.references import REFERENCES, find_any
from toolkit.runtimes.registry import BASELINE, RUNTIMES, default_runtime, engine_obstacle, find_building_runtime
from toolkit.system.atomic import sha256_of
from toolkit.workloads import Shape

if TYPE_CHECKING:
    from toolkit.network.checkpoint import Checkpoint

    Source = Checkpoint | Artifact | Engine

KINDS: tuple[Kind, ...] = ("checkpoint", "artifact", "engine")
"""What a subject can be read from."""

_OPTIMISED = "model.onnx"
"""The graph in an engine of ONNX Runtime."""


@dataclass(frozen=True)
class Subject:
    """A network on a runtime.

    Attributes:
        source: a checkpoint, an artifact, or an engine bundle.
        runtime: by name; of an engine the one that built it.
        threads: of the runtime; 0: all usable CPU threads, or those that an engine was built for.
        lowered_to: a precision other than the artifact's own, to which PyTorch lowers the weights; None: its own.

    Raises:
        InputError: the runtime cannot run this kind of source.

    Example:
        >>> subject = toolkit.Subject.parse("exported/rt4ksr_x2_fp32.onnx@openvino")
        >>> subject.label, subject.scale
        ('rt4ksr_x2_fp32 on openvino', 2)
    """

    source: Source
    runtime: str
    threads: int = 0
    lowered_to: Precision | None = None

    def __post_init__(self) -> None:
        match self.source:
            case Engine(path, info) if info.runtime != self.runtime:
                raise InputError(f"{path} is an engine for {info.runtime}, not for {self.runtime}")
            case Engine() | Artifact():
                return
            case _ if not find_any(self.runtime).runs_checkpoints:
                able = [item.name for item in (*RUNTIMES.values(), *REFERENCES.values()) if item.runs_checkpoints]
                raise InputError(
                    f"{self.runtime} does not run checkpoints", f"Choose from {', '.join(able)}, or export it first."
                )

    @classmethod
    def of(cls, source: Source, runtime: str | None = None, threads: int = 0) -> Subject:
        """A subject on the runtime that its source has, or by default.

        Args:
            source: of an engine the runtime is its own.
            runtime: None: `torch-unfused` for checkpoints, `default_runtime` for artifacts.
            threads: see `Subject`.
        """
        match source:
            case Engine():
                return cls(source, runtime or source.info.runtime, threads)
            case Artifact():
                return cls(source, runtime or default_runtime(source), threads)
            case _:
                return cls(source, runtime or BASELINE, threads)

    @classmethod
    def parse(
        cls,
        text: str | Path,
        default: str | None = None,
        *,
        accepted: Sequence[Kind] = KINDS,
        threads: int = 0,
        edited: bool = False,
    ) -> Subject:
        """Read `PATH` or `PATH@RUNTIME`.

        Args:
            text: a path that exists is not split at its `@`.
            default: runtime of artifacts where the text names none; None: see `of`.
            accepted: kinds of source that are read.
            threads: see `Subject`.
            edited: accept an artifact whose graph was changed after its manifest was written.

        Raises:
            ToolkitError: the source is of another kind or cannot be read, or that runtime does not run it.
        """
        path, runtime = split_runtime(text)
        source = read_source(path, accepted, edited=edited)
        return cls.of(source, runtime or (default if isinstance(source, Artifact) else None), threads)

    @classmethod
    def parse_each(
        cls, text: str | Path, runtimes: Sequence[str], *, accepted: Sequence[Kind] = KINDS, threads: int = 0
    ) -> list[Subject]:
        """As `parse`, but an artifact whose text names no runtime is a subject on each of `runtimes`."""
        subject = cls.parse(text, next(iter(runtimes), None), accepted=accepted, threads=threads)
        if subject.artifact is None or split_runtime(text)[1] is not None:
            return [subject]
        return [replace(subject, runtime=name) for name in runtimes]

    @classmethod
    def of_any(
        cls,
        given: Subject | Artifact | Engine | Path | str,
        default: str | None = None,
        *,
        accepted: Sequence[Kind] = KINDS,
        threads: int = 0,
    ) -> Subject:
        """A subject from whatever names one: see `parse` for paths. A subject is returned as it is."""
        match given:
            case Subject():
                return given
            case Artifact():
                return cls.of(given, default, threads)
            case Engine():
                return cls.of(given, threads=threads)
            case text:
                return cls.parse(text, default, accepted=accepted, threads=threads)

    @property
    def artifact(self) -> Artifact | None:
        """The source, if it is an artifact."""
        return self.source if isinstance(self.source, Artifact) else None

    @property
    def engine(self) -> Engine | None:
        """The source, if it is an engine bundle."""
        return self.source if isinstance(self.source, Engine) else None

    @property
    def manifest(self) -> Manifest | None:
        """Of the artifact, or of the one that an engine was built from; None: a checkpoint has none."""
        exported = self.artifact or self.engine
        return None if exported is None else exported.manifest

    @property
    def path(self) -> Path:
        """Of the ONNX file or the bundle; of a checkpoint its file name."""
        exported = self.artifact or self.engine
        return Path(self.contract.name) if exported is None else exported.path

    @property
    def sha256(self) -> str:
        """Of the ONNX file; empty where it is not the graph that runs."""
        return "" if self.manifest is None or self.from_weights else self.manifest.onnx_sha256

    @cached_property
    def contract(self) -> Contract:
        """What it takes and returns."""
        match self.source:
            case Artifact() | Engine() as exported:
                return exported.contract
            case checkpoint:
                return checkpoint_contract(checkpoint)

    @property
    def name(self) -> str:
        """Of the artifact, the bundle, or the checkpoint's file."""
        return self.contract.name

    @property
    def label(self) -> str:
        """For people: `rt4ksr_x2_fp16 on openvino`."""
        return f"{self.name} on {self.runtime}"

    @property
    def scale(self) -> int:
        return self.contract.scale

    @property
    def fixed(self) -> Shape | None:
        """The only input size that it takes; None: any."""
        return self.contract.fixed

    @property
    def precision(self) -> Precision:
        """The precision that is asked for; `Session.executed` has the precision of each node."""
        return self.lowered_to or (FULL_PRECISION if self.manifest is None else self.manifest.precision)

    @property
    def from_weights(self) -> bool:
        """Whether PyTorch lowers the source weights itself, and the artifact's graph does not run."""
        return self.manifest is not None and self.precision != self.manifest.precision

    @cached_property
    def weights(self) -> str:
        """sha256 of the source weights, which all precisions of a network share."""
        match self.source:
            case Artifact() | Engine() as exported:
                return exported.manifest.source.network_sha256
            case checkpoint:
                from toolkit.network.checkpoint import serialised_weights

                return sha256_of(serialised_weights(checkpoint.network))

    @property
    def purpose(self) -> Purpose | None:
        """What weights that ship with the toolkit were trained for; None: it is another network."""
        match self.source:
            case Artifact() | Engine() as exported:
                return exported.manifest.source.purpose
            case checkpoint:
                return checkpoint.purpose

    @property
    def graph(self) -> Path | None:
        """The ONNX file that runs: the artifact's, or the optimised one in an engine of ONNX Runtime; else None."""
        if self.engine is not None:
            return optimised if (optimised := self.engine.file(_OPTIMISED)).is_file() else None
        return None if self.artifact is None else self.artifact.path

    @cached_property
    def origin(self) -> Artifact | None:
        """The artifact itself, or what an engine was built from if that is still beside it."""
        return self.artifact if self.engine is None else self.engine.origin()

    @property
    def obstacle(self) -> str:
        """Why it cannot run here, and what to do; empty if nothing is known against it."""
        if self.engine is not None:
            return engine_obstacle(self.engine)
        runtime = find_any(self.runtime)
        if not (available := runtime.probe()).ok:
            return f"{available.reason}. {available.remedy}"
        return "" if self.artifact is None else runtime.refusal(self.artifact, self.precision)

    def rehearse(self) -> None:
        """Load an untrusted artifact in another process first, as `load` does; nothing for other sources.

        Raises:
            ArtifactError: the runtime cannot read the graph, or crashed.
        """
        if self.artifact is not None:
            find_any(self.runtime).rehearse(self.artifact)

    def load(self) -> Session:
        """A session.

        Raises:
            Unavailable: the runtime does not work here, or cannot run this precision.
            ArtifactError: the source does not match its manifest, or the runtime cannot read it.
        """
        options = SessionOptions(self.threads)
        match self.source:
            case Engine() as engine:
                return find_building_runtime(self.runtime).load_engine(engine, options)
            case Artifact() as artifact:
                return find_any(self.runtime).load(artifact, options, self.precision)
            case checkpoint:
                return find_any(self.runtime).load_checkpoint(checkpoint, options)


def load_session(
    source: Subject | Artifact | Engine | Path | str, runtime: str | None = None, options: SessionOptions | None = None
) -> Session:
    """A network loaded by a runtime, in its own precision.

    Args:
        source: or a path, or `PATH@RUNTIME`.
        runtime: by name; None: see `Subject.of`.
        options: how to run.

    Raises:
        InputError: there is no such runtime, or it does not run this kind of source.
        ArtifactError: the artifact or engine does not match its manifest.
        Unavailable: the runtime does not work here, or cannot run this precision.

    Example:
        >>> session = toolkit.load_session("exported/rt4ksr_x2_fp32.onnx", "ort-cpu")
        >>> session.bind((48, 64))
        >>> large = session.run(np.zeros((1, 3, 48, 64), np.float32))

        An engine bundle runs on the runtime that built it:

        >>> options = toolkit.BuildOptions(shape=toolkit.Shape(48, 64))
        >>> engine = toolkit.build("exported/rt4ksr_x2_fp32.onnx", "ort-cpu", options, Path("small")).engine
        >>> session = toolkit.load_session(engine)
    """
    threads = 0 if options is None else options.threads
    match source:
        case Subject():
            return source.load()
        case Artifact() | Engine():
            return Subject.of(source, runtime, threads).load()
        case text:
            path, named = split_runtime(text)
            return Subject.of(read_source(path), runtime or named, threads).load()


def read_source(path: Path, accepted: Sequence[Kind] = KINDS, *, edited: bool = False) -> Source:
    """The checkpoint, artifact or engine bundle at a path.

    Args:
        path: see `toolkit.kinds.kind_of`.
        accepted: kinds that are read.
        edited: accept an artifact whose graph was changed after its manifest was written.

    Raises:
        ToolkitError: the path is of another kind, or cannot be read.
    """
    match require_kind(path, *accepted):
        case "engine":
            return Engine.read(path)
        case "artifact":
            return Artifact.read(path, edited=edited)
        case _:
            from toolkit.network.checkpoint import load_checkpoint

            return load_checkpoint(path)
