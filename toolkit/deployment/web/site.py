"""Writes the site: the page, its scripts, the network, the test tile, and ONNX Runtime Web."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact, encode, read_artifact
from toolkit.deployment.web.description import LEVELS, Description, Tile, describe
from toolkit.deployment.web.ort_web import check_source, runtime_files
from toolkit.deployment.web.page import page
from toolkit.deployment.web.tile import RUNTIME, reference_tile
from toolkit.errors import InputError, OutputExists
from toolkit.graph.any_size import without_size_check
from toolkit.graph.reading import read_model
from toolkit.precisions import Precision
from toolkit.system.atomic import new_directory, writable
from toolkit.system.progress import Progress, ProgressCallback, no_progress

PAGE, DESCRIPTION = "index.html", "network.json"
_INPUT, _EXPECTED = "tile.rgb", "tile_expected.rgb"
_RUNTIME_FOLDER = "onnxruntime"

_REFUSED: Mapping[Precision, str] = {
    "bf16": "ONNX Runtime Web has no kernels for bf16",
    "int8": "ONNX Runtime Web has no WebGPU kernels for int8, and its WebAssembly rounds otherwise than CPUs do",
}


class Site(msgspec.Struct, frozen=True):
    """What was written.

    Attributes:
        page: its path.
        artifact: path of the artifact.
        files: number of files.
        size: bytes of all files.
        notes: what users of the page should know.
    """

    page: Path
    artifact: Path
    files: int
    size: int
    notes: tuple[str, ...]


def write_site(
    model: Artifact | Path | str,
    directory: Path | str = "site",
    runtime: Path | None = None,
    progress: ProgressCallback = no_progress,
    *,
    overwrite: bool = False,
) -> Site:
    """Write a static site that upscales pictures and video in the browser with an artifact.

    Args:
        model: the artifact, or its path. Any input size, fp32 or fp16.
        directory: of the site; created.
        runtime: directory of the unpacked npm package `onnxruntime-web`; None: npm downloads it.
        progress: called as each step begins.
        overwrite: replace a site that is there.

    Raises:
        InputError: a browser cannot run the artifact, or the directory holds something that is no site.
        OutputExists: there is a site, and `overwrite` is false.
        Unavailable: neither npm nor ONNX Runtime is installed.
    """
    directory = Path(directory)
    _check_directory(directory, overwrite=overwrite)
    artifact = read_artifact(model)
    _check_artifact(artifact)
    check_source(runtime)
    progress(Progress("computing the test tile"))
    picture, expected = reference_tile(artifact)
    tile = Tile(picture.shape[1], picture.shape[0], _INPUT, _EXPECTED, f"{RUNTIME} {_runtime_version()}", LEVELS)
    description = describe(artifact, tile)
    progress(Progress("getting ONNX Runtime Web"))
    content = {f"{_RUNTIME_FOLDER}/{name}": data for name, data in runtime_files(runtime).items()}
    content |= {path.name: path.read_bytes() for path in _scripts()}
    content |= {
        PAGE: page(description).encode(),
        DESCRIPTION: encode(description),
        artifact.path.name: _graph(artifact),
        _INPUT: picture.tobytes(),
        _EXPECTED: expected.tobytes(),
    }
    _write(directory, content)
    size = sum(map(len, content.values()))
    return Site(directory / PAGE, artifact.path, len(content), size, tuple(_notes(description)))


def _graph(artifact: Artifact) -> bytes:
    """The graph without its size check: the page extends pictures, and WebGPU has no arithmetic on sizes."""
    content: bytes = without_size_check(read_model(artifact.path)).SerializeToString(deterministic=True)
    return content


def _check_directory(directory: Path, *, overwrite: bool) -> None:
    """A directory is replaced only if it is a site: `-o .` must not remove anything else."""
    if not directory.is_dir() or not any(directory.iterdir()):
        return
    if not (directory / DESCRIPTION).is_file() or not (directory / PAGE).is_file():
        raise InputError(f"{directory} holds other files, and no site", "Choose a directory that is empty or new.")
    if not overwrite:
        raise OutputExists(f"{directory} holds a site")
    others = sorted(item.name for item in directory.iterdir() if not _is_of_a_site(item))
    if others:
        raise InputError(
            f"{directory} holds other files beside a site, which would be removed: {', '.join(others)}",
            "Choose a new directory, or move them.",
        )


def _is_of_a_site(item: Path) -> bool:
    """Whether this version or another may have written it."""
    if item.is_dir():
        return item.name == _RUNTIME_FOLDER
    return item.name in (PAGE, DESCRIPTION, _INPUT, _EXPECTED) or item.suffix in (".js", ".onnx")


def _check_artifact(artifact: Artifact) -> None:
    manifest = artifact.manifest
    reason = _REFUSED.get(manifest.precision)
    if reason is not None:
        raise InputError(f"{artifact.path} does not run in browsers: {reason}", "Give an artifact in fp32 or fp16.")
    if manifest.shape is not None:
        height, width = manifest.shape
        raise InputError(
            f"{artifact.path} takes pictures of {width}x{height} only, and the page takes any",
            "Export it again without --shape.",
        )


def _runtime_version() -> str:
    import onnxruntime

    return str(onnxruntime.__version__)


def _scripts() -> list[Path]:
    folder = files("toolkit.deployment.web") / "application"
    return sorted(Path(str(item)) for item in folder.iterdir() if item.name.endswith(".js"))


def _notes(description: Description) -> list[str]:
    notes = []
    if "uint8" in (description.input.dtype, description.output.dtype):
        notes.append(
            "the page will compute on the CPU: ONNX Runtime Web has no WebGPU kernels for uint8 ends. An artifact with "
            "--io float runs on the GPU"
        )
    if description.reach is None:
        notes.append(f"large pictures are refused, because they cannot be cut into strips: {description.whole_reason}")
    if description.half:
        notes.append("fp16 runs on GPUs with shader-f16; other devices compute on the CPU, and the page says so")
    return notes


def _write(directory: Path, content: Mapping[str, bytes]) -> None:
    with writable(directory), new_directory(directory) as temporary:
        for name, data in content.items():
            path = temporary / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
