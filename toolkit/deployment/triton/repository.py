"""Writes the directory of a model for Triton's model repository.

model_repository/
    rt4ksr_x2_fp32/
        config.pbtxt
        1/model.onnx        or model.plan
        manifest.json       of the artifact: value range, channel order, sizes
        client.py           a program that upscales a picture on the server, through shared memory
    rt4ksr_x2_fp32_from_nv12/, rt4ksr_x2_fp32_nv12/     if asked for: see `nv12`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from toolkit.artifact import Artifact, encode
from toolkit.deployment.triton.backends import Backend, ServingOptions, find_backend, notes
from toolkit.deployment.triton.configuration import ModelConfiguration
from toolkit.deployment.triton.nv12 import Matrix, nv12_models
from toolkit.errors import InputError, OutputExists
from toolkit.runtimes.engine import Engine
from toolkit.system.atomic import new_directory, writable

CONFIGURATION, CLIENT, MANIFEST = "config.pbtxt", "client.py", "manifest.json"
_VERSION = "1"
_PLAN = "plan"
"""Name of the plan in engine bundles of TensorRT."""


@dataclass(frozen=True)
class ServedModel:
    """A model in a repository.

    Attributes:
        path: its directory.
        configuration: what its `config.pbtxt` says.
        notes: what a user must know.
        others: directories of more models, of which the last takes NV12.
    """

    path: Path
    configuration: ModelConfiguration
    notes: tuple[str, ...]
    others: tuple[Path, ...] = ()


def write_model(
    given: Artifact | Engine,
    repository: Path,
    options: ServingOptions = ServingOptions(),
    *,
    nv12: Matrix | None = None,
    overwrite: bool = False,
) -> ServedModel:
    """Write the directory of a model, which appears complete or not at all, and those of its NV12 input.

    Args:
        given: an artifact, or an engine of TensorRT.
        repository: where directories of models are; it is created if it is missing.
        options: how Triton runs it.
        nv12: matrix of NV12 frames, to write an ensemble that takes them too.
        overwrite: a model of the same name is replaced, with all its versions.

    Raises:
        InputError: no backend of Triton takes it, or not with these options; or the directory cannot be written.
        OutputExists: there is another model of this name.
    """
    backend = find_backend(given, options)
    # Directories of models have no suffix: an engine's has the name of its artifact.
    contract = replace(given.contract, name=given.manifest.name)
    configuration = backend.configuration(contract, options)
    models = {contract.name: _contents(given, backend, configuration)}
    if nv12 is not None:
        models |= nv12_models(configuration, nv12)
    for name, contents in models.items():
        _check_free(repository / name, contents, overwrite=overwrite)
    for name, contents in models.items():
        _write(repository / name, contents)
    path, *others = (repository / name for name in models)
    return ServedModel(path, configuration, notes(given, backend), tuple(others))


def _write(path: Path, contents: dict[str, bytes]) -> None:
    with writable(path), new_directory(path) as temporary:
        for name, content in contents.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_bytes(content)


def _contents(given: Artifact | Engine, backend: Backend, configuration: ModelConfiguration) -> dict[str, bytes]:
    model = given.file(_PLAN) if isinstance(given, Engine) else given.path
    return {
        CONFIGURATION: configuration.text.encode(),
        f"{_VERSION}/{backend.file}": model.read_bytes(),
        MANIFEST: encode(given.manifest),
        CLIENT: (files("toolkit.deployment.triton") / CLIENT).read_bytes(),
    }


def _check_free(path: Path, contents: dict[str, bytes], *, overwrite: bool) -> None:
    """Refuse to replace what is not a model of Triton, and, unless asked to, what is not the same model."""
    if not path.exists():
        return
    if not (path / CONFIGURATION).is_file():
        raise InputError(f"{path} is not a model of Triton: it has no {CONFIGURATION}", "Choose another directory.")
    present = {str(found.relative_to(path)) for found in path.rglob("*") if found.is_file()}
    same = present == contents.keys() and all((path / name).read_bytes() == contents[name] for name in present)
    if not (overwrite or same):
        raise OutputExists(f"{path} exists, and is another model or was edited")
