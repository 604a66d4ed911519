"""Engine bundles: what a runtime built from an artifact, in a directory that explains itself.

rt4ksr_x2_fp16.tensorrt-rtx.engine/
    engine.json      what it is, made from what, by what, for which device
    manifest.json    of the artifact
    plan             (or whatever the runtime loads)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact, Contract, Manifest, Precision, decode_manifest, encode
from toolkit.errors import ArtifactError
from toolkit.kinds import ENGINE_INFO, ENGINE_SUFFIX, require_kind
from toolkit.quoting import shell
from toolkit.system.atomic import new_directory, sha256_of, sha256_of_file, writable
from toolkit.system.documents import MalformedDocument, from_json
from toolkit.system.foreign import foreign
from toolkit.system.trust import WRITTEN_HERE, remember
from toolkit.workloads import Shape

SCHEMA = 3
PLAN = "plan"
"""What TensorRT calls its engines."""

_MANIFEST = "manifest.json"
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""
_COMPILED_FOR_ONE_SIZE = frozenset({"openvino"})


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a bundle."""

    sha256: str
    size: int


class EngineInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known about an engine.

    `shape` is (height, width) of the input that it was built for; None: any. `identity` is all that must be the same
    where it is loaded: runtime version, device, processor flags. `machine` is what else is known of where it was built:
    driver, processor. `options` are those that were given, `settings` all that the runtime has, as they were in force.
    `read_back` is what the runtime says about the result. `seal` is the sha256 of all the rest.
    """

    runtime: str
    artifact: str
    artifact_sha256: str
    precision: Precision
    shape: tuple[int, int] | None
    identity: dict[str, str]
    machine: dict[str, str]
    options: dict[str, str]
    settings: dict[str, str]
    build_seconds: float
    files: dict[str, File]
    read_back: dict[str, str] = {}
    seal: str = ""
    schema: int = SCHEMA

    def sealed(self) -> EngineInfo:
        """The same, with the seal that belongs to it."""
        bare = msgspec.structs.replace(self, seal="")
        return msgspec.structs.replace(bare, seal=sha256_of(encode(bare)))


@dataclass(frozen=True)
class Engine:
    """A bundle on disk whose files are what its engine.json says."""

    path: Path
    info: EngineInfo
    manifest: Manifest

    def file(self, name: str) -> Path:
        return self.path / name

    @property
    def threads(self) -> int:
        """Processor threads it was built for; 0: all usable."""
        return int(self.info.options.get("threads", "0"))

    @property
    def built_for(self) -> Shape | None:
        """Size of the input that it was built for; None: any."""
        return None if self.info.shape is None else Shape(*self.info.shape)

    @property
    def fixed(self) -> Shape | None:
        """The one input size it takes, if there is only one."""
        if self.info.runtime in _COMPILED_FOR_ONE_SIZE:
            return self.built_for
        return None if self.manifest.shape is None else Shape(*self.manifest.shape)

    @property
    def contract(self) -> Contract:
        """The artifact's, under the bundle's name and with the size that it is limited to."""
        return replace(self.manifest.contract, name=self.path.name, fixed=self.fixed)

    def origin(self) -> Artifact | None:
        """What it was built from, if that is still beside it."""
        try:
            artifact = Artifact.read(self.path.parent / f"{self.info.artifact}.onnx")
        except ArtifactError:
            return None
        return artifact if artifact.manifest.onnx_sha256 == self.info.artifact_sha256 else None

    @property
    def rebuild_command(self) -> str:
        """The command that builds it again."""
        return _command_beside(self.path, self.info.artifact, self.info.runtime, self.info.options)

    @classmethod
    def read(cls, path: Path | str) -> Engine:
        """Read a bundle and check every file.

        Raises:
            ArtifactError: it is no bundle, or was edited or only half copied; with the command that builds it anew.
        """
        path = Path(path)
        require_kind(path, "engine")
        if not (path / ENGINE_INFO).is_file():
            raise ArtifactError(f"{path} is not an engine bundle: it has no {ENGINE_INFO}", "Build it again.")
        info = _read_info(path)
        remedy = f"Build it again: {_command_beside(path, info.artifact, info.runtime, info.options)}"
        for name, expected in info.files.items():
            file = path / name
            if Path(name).name != name or not file.is_file() or sha256_of_file(file) != expected.sha256:
                raise ArtifactError(f"{file} is missing, or not what {ENGINE_INFO} says", remedy)
        if _MANIFEST not in info.files:
            raise ArtifactError(f"{path} has no {_MANIFEST}", remedy)
        manifest = decode_manifest(path / _MANIFEST)
        told = (info.artifact, info.artifact_sha256, info.precision)
        if told != (manifest.name, manifest.onnx_sha256, manifest.precision):
            raise ArtifactError(f"{path}: {ENGINE_INFO} and {_MANIFEST} are of different artifacts", remedy)
        read = cls(path, info, manifest)
        with foreign(f"{path / ENGINE_INFO} has options that no build has", remedy):
            _ = read.threads, read.fixed  # are parsed from text
        return read


def _read_info(path: Path) -> EngineInfo:
    """The description of a bundle, which must be byte by byte as it was written.

    Where it is not, the bundle's name still tells artifact and runtime.
    """
    name, _, runtime = path.name.removesuffix(ENGINE_SUFFIX).rpartition(".")
    command = _command_beside(path, name, runtime, {}) if name and runtime else "`toolkit build`"
    content, remedy = (path / ENGINE_INFO).read_bytes(), f"Build it again: {command}"
    try:
        schema = from_json(content, _Schema).schema
        if schema != SCHEMA:
            raise ArtifactError(f"{path} has schema {schema}, this version reads {SCHEMA}", remedy)
        info = from_json(content, EngineInfo)
    except MalformedDocument as error:
        raise ArtifactError(f"{path / ENGINE_INFO} cannot be read: {error}", remedy) from error
    if content != encode(info.sealed()):
        raise ArtifactError(f"{path / ENGINE_INFO} was edited after it was written", remedy)
    return info


class _Schema(msgspec.Struct, frozen=True):
    schema: int


def _command_beside(path: Path, artifact: str, runtime: str, options: Mapping[str, str]) -> str:
    """What makes a bundle anew, where it lies."""
    onnx = path.parent / f"{artifact}.onnx"
    if onnx.is_file() or path.parent == Path():
        return build_command(str(onnx), runtime, options)
    return f"{build_command(onnx.name, runtime, options)} -o {shell([path.parent])}"


def build_command(onnx: str, runtime: str, options: Mapping[str, str]) -> str:
    """The command line of a build. Options that are merely on or off take no value."""
    given = (word for name, value in options.items() if value for word in _option(name, value))
    return shell(["toolkit", "build", Path(onnx), "--runtime", runtime, *given])


def _option(name: str, value: str) -> list[str]:
    switches = {"true": [f"--{name}"], "false": [f"--no-{name}"]}
    return switches.get(value, [f"--{name}", value])


def engine_path(artifact: Artifact, runtime: str, directory: Path | None = None) -> Path:
    """Where an artifact's engine for a runtime lies."""
    return (directory or artifact.path.parent) / f"{artifact.manifest.name}.{runtime}{ENGINE_SUFFIX}"


def write_engine(path: Path, info: EngineInfo, artifact: Artifact, files: Mapping[str, bytes]) -> Engine:
    """Write a bundle beside `path` and move it there whole, in the place of an older one."""
    contents = {**files, _MANIFEST: encode(artifact.manifest)}
    described = {name: File(sha256_of(content), len(content)) for name, content in contents.items()}
    info = msgspec.structs.replace(info, files=described).sealed()
    with writable(path), new_directory(path) as temporary:
        for name, content in (contents | {ENGINE_INFO: encode(info)}).items():
            (temporary / name).write_bytes(content)
    remember(info.seal, WRITTEN_HERE)
    return Engine(path, info, artifact.manifest)


def is_bundle(path: Path) -> bool:
    """Whether a directory is a bundle, sound or damaged: other people's directories are not replaced."""
    return path.is_dir() and not path.is_symlink() and ((path / ENGINE_INFO).is_file() or (path / _MANIFEST).is_file())


def find_engines(directory: Path) -> list[Path]:
    """Bundles of a directory, by name, whole or not."""
    return sorted(path for path in directory.glob(f"*{ENGINE_SUFFIX}") if path.is_dir())
