"""Subjects with the bytes of their artifacts, for machines that do not have our files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from toolkit.artifact import Artifact, encode
from toolkit.errors import InputError
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import sha256_of, write_bytes


@dataclass(frozen=True)
class PackedSubject:
    """An artifact's files, and the runtime that runs them."""

    name: str
    onnx: bytes
    manifest: bytes
    runtime: str
    threads: int

    @classmethod
    def of(cls, subject: Subject) -> PackedSubject:
        """Raises InputError for engine bundles, which are built for this machine."""
        artifact = subject.artifact
        if artifact is None:
            raise InputError("an engine bundle runs only on the machine it was built for", "Give the artifact instead.")
        content = artifact.path.read_bytes()
        return cls(artifact.path.name, content, encode(artifact.manifest), subject.runtime, subject.threads)

    @property
    def key(self) -> str:
        """Key by which processes cache networks: equal graphs have equal keys."""
        return sha256_of(self.onnx)

    def unpack(self, directory: Path | None = None) -> Subject:
        """Write the artifact to a directory of this machine (default: a new temporary one)."""
        home = directory or Path(tempfile.mkdtemp(prefix="toolkit-network-"))
        path = home / self.name
        write_bytes(path, self.onnx)
        write_bytes(path.with_suffix(".json"), self.manifest)
        return Subject(Artifact.read(path), self.runtime, self.threads)
