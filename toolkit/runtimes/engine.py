"""Engine bundles: directories with the files that a runtime built from an artifact, and their description.

rt4ksr_x2_fp16.tensorrt-rtx.engine/
    engine.json      EngineInfo: artifact, runtime, options, device, SHA-256 of all files
    manifest.json    of the artifact
    plan             (or whatever the runtime loads)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact, Contract, Manifest, decode_manifest, encode
from toolkit.errors import ArtifactError, InputError
from toolkit.kinds import ENGINE_INFO, ENGINE_SUFFIX, require_kind
from toolkit.precisions import Precision
from toolkit.quoting import shell
from toolkit.runtimes.options import BuildOptions
from toolkit.system.atomic import new_directory, sha256_of, sha256_of_file, writable
from toolkit.system.documents import MalformedDocument, from_json
from toolkit.system.trust import WRITTEN_HERE, remember
from toolkit.workloads import Shape

SCHEMA = 4
_MANIFEST = "manifest.json"
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """SHA-256 and size in bytes of a file of a bundle."""

    sha256: str
    size: int


class EngineInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The description of an engine.

    Attributes:
        runtime: name.
        artifact: name of the artifact that it was built from.
        artifact_sha256: of that artifact's ONNX file.
        precision: of the artifact.
        shape: (height, width) of the input that it was built for; None: any.
        one_size: whether it takes only inputs of `shape`.
        identity: what must be the same where it is loaded: runtime version, device, instruction sets.
        machine: more about where it was built, which is not compared: driver, CPU.
        options: build options that were given, as `BuildOptions.described` writes them.
        settings: values in effect of all build options that the runtime has.
        build_seconds: duration of the build.
        files: of the bundle, besides engine.json.
        read_back: what the runtime reports about the result.
        seal: SHA-256 of all other fields.
        schema: version of this description.
    """

    runtime: str
    artifact: str
    artifact_sha256: str
    precision: Precision
    shape: tuple[int, int] | None
    one_size: bool
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
        """A copy with the right seal."""
        bare = msgspec.structs.replace(self, seal="")
        return msgspec.structs.replace(bare, seal=sha256_of(encode(bare)))


@dataclass(frozen=True)
class Engine:
    """A bundle on disk whose files match its engine.json.

    Example:
        >>> built = toolkit.build("exported/rt4ksr_x2_fp32.onnx", "ort-cpu", directory=Path("engines"))
        >>> toolkit.Engine.read(built.engine.path).info.runtime
        'ort-cpu'
    """

    path: Path
    info: EngineInfo
    manifest: Manifest

    def file(self, name: str) -> Path:
        return self.path / name

    @property
    def options(self) -> BuildOptions:
        """Build options that were given."""
        return BuildOptions.parse(self.info.options)

    @property
    def built_for(self) -> Shape | None:
        """Input size that it was built for; None: any."""
        return None if self.info.shape is None else Shape(*self.info.shape)

    @property
    def fixed(self) -> Shape | None:
        """The only input size that it takes; None: it takes several."""
        if self.info.one_size:
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
        """The command that builds it for this machine, whatever it was built for."""
        options = {name: value for name, value in self.info.options.items() if name != "target"}
        return _command_beside(self.path, self.info.artifact, self.info.runtime, options)

    @classmethod
    def read(cls, path: Path | str) -> Engine:
        """Read a bundle and check every file.

        Raises:
            ArtifactError: it is not a bundle, was edited, or was copied in part; with the command that builds it again.
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
                raise ArtifactError(f"{file} is missing, or does not match what {ENGINE_INFO} says", remedy)
        if _MANIFEST not in info.files:
            raise ArtifactError(f"{path} has no {_MANIFEST}", remedy)
        manifest = decode_manifest(path / _MANIFEST)
        told = (info.artifact, info.artifact_sha256, info.precision)
        if told != (manifest.name, manifest.onnx_sha256, manifest.precision):
            raise ArtifactError(f"{path}: {ENGINE_INFO} and {_MANIFEST} belong to different artifacts", remedy)
        read = cls(path, info, manifest)
        try:
            _ = read.options
        except InputError as error:
            reason = f"{path / ENGINE_INFO} has options that no build has: {error.args[0]}"
            raise ArtifactError(reason, remedy) from error
        return read


def _read_info(path: Path) -> EngineInfo:
    """The description of a bundle, which must be byte for byte as it was written.

    Where it is not, artifact and runtime in the remedy come from the bundle's name.
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
    """The command that builds a bundle again in the same place."""
    onnx = path.parent / f"{artifact}.onnx"
    if onnx.is_file() or path.parent == Path():
        return build_command(str(onnx), runtime, options)
    return f"{build_command(onnx.name, runtime, options)} -o {shell([path.parent])}"


def build_command(onnx: str, runtime: str, options: Mapping[str, str]) -> str:
    """The command line of a build. Switches take no value."""
    given = (word for name, value in options.items() if value for word in _option(name, value))
    return shell(["toolkit", "build", Path(onnx), "--runtime", runtime, *given])


def _option(name: str, value: str) -> list[str]:
    switches = {"true": [f"--{name}"], "false": [f"--no-{name}"]}
    return switches.get(value, [f"--{name}", value])


def engine_path(artifact: Artifact, runtime: str, directory: Path | None = None) -> Path:
    """Path of an artifact's bundle for a runtime; by default beside the artifact."""
    return (directory or artifact.path.parent) / f"{artifact.manifest.name}.{runtime}{ENGINE_SUFFIX}"


def write_engine(path: Path, info: EngineInfo, artifact: Artifact, files: Mapping[str, bytes]) -> Engine:
    """Write a bundle completely beside `path`, then move it there, in place of an older one."""
    contents = {**files, _MANIFEST: encode(artifact.manifest)}
    described = {name: File(sha256_of(content), len(content)) for name, content in contents.items()}
    info = msgspec.structs.replace(info, files=described).sealed()
    with writable(path), new_directory(path) as temporary:
        for name, content in (contents | {ENGINE_INFO: encode(info)}).items():
            (temporary / name).write_bytes(content)
    remember(info.seal, WRITTEN_HERE)
    return Engine(path, info, artifact.manifest)


def is_bundle(path: Path) -> bool:
    """Whether a path is a bundle, valid or damaged. Other directories are not replaced."""
    return path.is_dir() and not path.is_symlink() and ((path / ENGINE_INFO).is_file() or (path / _MANIFEST).is_file())


def find_engines(directory: Path) -> list[Path]:
    """Bundles in a directory, valid or damaged, sorted by name."""
    return sorted(path for path in directory.glob(f"*{ENGINE_SUFFIX}") if path.is_dir())
