"""Which network runs, where, and with how much memory: what travels to worker processes and other machines."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from toolkit.artifact import FULL_PRECISION, Artifact, Manifest, Precision, encode, find_artifacts
from toolkit.errors import InputError
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.registry import find_runtime, load_engine
from toolkit.system.atomic import write_bytes
from toolkit.system.cache import cache_directory

MEMORY = 256 << 20


@dataclass(frozen=True)
class Model:
    """A network in some precision on some runtime.

    Attributes:
        source: an artifact, or an engine bundle, which brings its own runtime.
        runtime: by name.
        threads: of the runtime; 0: all usable.
        memory: bytes that the tensors of one run may take; frames that need more go through in strips.
    """

    source: Artifact | Engine
    runtime: str = "ort-cpu"
    threads: int = 0
    memory: int = MEMORY

    @property
    def manifest(self) -> Manifest:
        return self.source.manifest

    @property
    def scale(self) -> int:
        return self.manifest.network.scale

    @property
    def deep(self) -> bool:
        """Whether it takes more than 8 bits a sample."""
        return self.manifest.input.dtype != "uint8"

    @property
    def label(self) -> str:
        runtime = self.source.info.runtime if isinstance(self.source, Engine) else self.runtime
        return f"{self.manifest.name} on {runtime}"

    def open(self) -> Session:
        """A session.

        Raises:
            Unavailable: the runtime does not work here.
        """
        options = SessionOptions(self.threads)
        if isinstance(self.source, Engine):
            return load_engine(self.source, options)
        return find_runtime(self.runtime).load(self.source, options)


def find_model_source(
    directory: Path, scale: int, precision: Precision, given: tuple[Path, ...] = ()
) -> Artifact | Engine | None:
    """The artifact or engine of a scale: of those given, else of a directory, else of the toolkit's own weights.

    Raises:
        InputError: several fit, or none of the given does; or the toolkit's own weights are asked for in a precision
            other than fp32.
    """
    if given:
        read = [Engine.read(path) if path.suffix == ".engine" else Artifact.read(path) for path in given]
        fitting = [item for item in read if item.manifest.network.scale == scale]
    else:
        found = find_artifacts(directory, skip=lambda _: None) if directory.is_dir() else []
        fitting = [
            item
            for item in found
            if item.manifest.network.scale == scale
            and item.manifest.precision == precision
            and item.manifest.shape is None
        ]
    if len(fitting) > 1:
        names = ", ".join(item.path.name for item in fitting)
        raise InputError(f"several networks are x{scale}: {names}", "Name one with --model.")
    if fitting:
        return fitting[0]
    if given:
        return None
    if precision != FULL_PRECISION:
        raise InputError(
            f"{directory} has no x{scale} network in {precision}",
            "Make one: `toolkit export`, then `toolkit convert`; or name one with --model.",
        )
    return bundled_artifact(scale)


def bundled_artifact(scale: int) -> Artifact:
    """The toolkit's own weights as an artifact, made once and kept in the user's cache.

    Raises:
        CheckpointError: there are none of this scale.
    """
    from toolkit.network.bundled import bundled_checkpoint, bundled_sha256

    directory = cache_directory() / bundled_sha256(scale)[:12]
    kept = find_artifacts(directory, skip=lambda _: None) if directory.is_dir() else []
    if kept:
        return kept[0]  # Without torch, which takes seconds to load.
    from toolkit.graph.export import export

    return export(bundled_checkpoint(scale), directory=directory, overwrite=True)


@dataclass(frozen=True)
class PackedModel:
    """A model with the bytes of its artifact, for machines that do not see our files."""

    name: str
    onnx: bytes
    manifest: bytes
    runtime: str
    threads: int
    memory: int

    @classmethod
    def of(cls, model: Model) -> PackedModel:
        """Raises InputError for engine bundles, which are made for this machine."""
        if isinstance(model.source, Engine):
            raise InputError("an engine bundle fits only the machine it was built on", "Give the artifact instead.")
        artifact = model.source
        content = artifact.path.read_bytes()
        return cls(artifact.path.name, content, encode(artifact.manifest), model.runtime, model.threads, model.memory)

    def unpack(self, directory: Path | None = None) -> Model:
        """Write the artifact below a directory of this machine (default: a new temporary one)."""
        home = directory or Path(tempfile.mkdtemp(prefix="toolkit-model-"))
        path = home / self.name
        write_bytes(path, self.onnx)
        write_bytes(path.with_suffix(".json"), self.manifest)
        return Model(Artifact.read(path), self.runtime, self.threads, self.memory)
