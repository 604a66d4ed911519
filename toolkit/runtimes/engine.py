"""Engine bundles: what a runtime built from an artifact, in a directory that explains itself.

rt4ksr_x2_fp16.tensorrt-rtx.engine/
    engine.json      what it is, made from what, by what, for which device
    manifest.json    of the artifact
    plan             (or whatever the runtime loads)
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact, Manifest, Precision, decode_manifest, encode
from toolkit.atomic import sha256_of, sha256_of_file, writable
from toolkit.errors import ArtifactError
from toolkit.workloads import Shape, parse_shape

SCHEMA = 1
SUFFIX = ".engine"
PLAN = "plan"
"""What TensorRT calls its engines."""

_INFO, _MANIFEST = "engine.json", "manifest.json"
_COMPILED_FOR_ONE_SIZE = frozenset({"openvino"})


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a bundle."""

    sha256: str
    size: int


class EngineInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known about an engine.

    `identity` is all that must be the same where it is loaded: runtime version, device, driver, processor flags.
    `options` are those it was built with. `read_back` is what the runtime says about the result.
    """

    runtime: str
    artifact: str
    artifact_sha256: str
    precision: Precision
    shape: str
    identity: dict[str, str]
    options: dict[str, str]
    build_seconds: float
    files: dict[str, File]
    read_back: dict[str, str] = {}
    schema: int = SCHEMA


@dataclass(frozen=True)
class Engine:
    """A bundle on disk whose files are what its engine.json says."""

    path: Path
    info: EngineInfo
    manifest: Manifest

    def file(self, name: str) -> Path:
        return self.path / name

    @property
    def fixed(self) -> Shape | None:
        """The one input size it takes, if there is only one."""
        if self.info.runtime in _COMPILED_FOR_ONE_SIZE:
            return parse_shape(self.info.shape)
        return None if self.manifest.shape is None else Shape(*self.manifest.shape)

    @property
    def rebuild_command(self) -> str:
        """The command that makes it anew."""
        return build_command(self.info.artifact, self.info.runtime, self.info.options)

    @classmethod
    def read(cls, path: Path | str) -> Engine:
        """Read a bundle and check every file.

        Raises:
            ArtifactError: it is no bundle, or was edited or only half copied.
        """
        path = Path(path)
        if not (path / _INFO).is_file():
            raise ArtifactError(f"{path} is not an engine: it has no {_INFO}", "`toolkit build` makes one.")
        try:
            info = msgspec.json.decode((path / _INFO).read_bytes(), type=EngineInfo)
        except msgspec.DecodeError as error:
            raise ArtifactError(f"{path / _INFO} cannot be read: {error}", "Build the engine again.") from error
        if info.schema != SCHEMA:
            raise ArtifactError(f"{path} has schema {info.schema}, this version reads {SCHEMA}", "Build it again.")
        for name, expected in info.files.items():
            file = path / name
            if Path(name).name != name or not file.is_file() or sha256_of_file(file) != expected.sha256:
                raise ArtifactError(f"{file} is missing, or not what {_INFO} says", "Build the engine again.")
        if _MANIFEST not in info.files:
            raise ArtifactError(f"{path} has no {_MANIFEST}", "Build the engine again.")
        return cls(path, info, decode_manifest(path / _MANIFEST))


def build_command(artifact: str, runtime: str, options: Mapping[str, str]) -> str:
    """The command line of a build. Options that are merely on or off take no value."""
    given = "".join(_option(name, value) for name, value in options.items() if value)
    return f"toolkit build {artifact}.onnx --runtime {runtime}{given}"


def _option(name: str, value: str) -> str:
    switches = {"true": f" --{name}", "false": f" --no-{name}"}
    return switches.get(value, f" --{name} {value}")


def engine_path(artifact: Artifact, runtime: str, directory: Path | None = None) -> Path:
    """Where an artifact's engine for a runtime lies."""
    return (directory or artifact.path.parent) / f"{artifact.manifest.name}.{runtime}{SUFFIX}"


def write_engine(path: Path, info: EngineInfo, artifact: Artifact, files: Mapping[str, bytes]) -> Engine:
    """Write a bundle beside `path` and move it there whole, in the place of an older one."""
    contents = {**files, _MANIFEST: encode(artifact.manifest)}
    described = {name: File(sha256_of(content), len(content)) for name, content in contents.items()}
    info = msgspec.structs.replace(info, files=described)
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            for name, content in (contents | {_INFO: encode(info)}).items():
                (temporary / name).write_bytes(content)
            temporary.chmod(0o755)
            _replace(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    return Engine(path, info, artifact.manifest)


def find_engines(directory: Path) -> list[Path]:
    """Bundles of a directory, by name, whole or not."""
    return sorted(path for path in directory.glob(f"*{SUFFIX}") if path.is_dir())


def _replace(new: Path, path: Path) -> None:
    """Directories cannot be renamed over one another: the old one steps aside first."""
    old = path.with_name(f".{path.name}.old.{os.getpid()}")
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
