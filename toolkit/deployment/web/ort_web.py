"""ONNX Runtime Web: the files of the npm package that a site needs, from npm or from a directory, checked by hash."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from toolkit.errors import InputError, Unavailable
from toolkit.system.atomic import sha256_of

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
FILES = {
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""SHA-256 of the files in the package's `dist/`: first those of WebGPU, then the smaller ones of WebAssembly alone."""

_LONGEST = 600
"""Seconds for a download of 30 MB."""
_REMEDY = f"Unpack the npm package {PACKAGE} and give its directory: --onnxruntime-web DIRECTORY."


def runtime_files(directory: Path | None) -> dict[str, bytes]:
    """The files, by name.

    Args:
        directory: the unpacked package, for example `node_modules/onnxruntime-web`; None: npm downloads it.

    Raises:
        InputError: the directory has not the files of this version.
        Unavailable: npm is not installed, or does not provide the package.
    """
    found = _downloaded() if directory is None else _read(directory)
    for name, expected in FILES.items():
        if sha256_of(found[name]) != expected:
            what = f"{name} of {directory or 'the package that npm provides'} is not that of {PACKAGE}"
            raise InputError(what, f"Give the unpacked package of version {VERSION}: --onnxruntime-web DIRECTORY.")
    return found


def check_source(directory: Path | None) -> None:
    """Refuse before any work: the directory has no such files, or there is no npm to ask.

    Raises:
        InputError: as `runtime_files`.
        Unavailable: likewise.
    """
    if directory is None:
        _npm()
    else:
        _folder(directory)


def _read(directory: Path) -> dict[str, bytes]:
    folder = _folder(directory)
    return {name: (folder / name).read_bytes() for name in FILES}


def _folder(directory: Path) -> Path:
    folder = directory / "dist" if (directory / "dist").is_dir() else directory
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{directory} does not hold onnxruntime-web: {missing[0]} is missing", _REMEDY)
    return folder


def _npm() -> str:
    program = shutil.which("npm")
    if program is None:
        raise Unavailable(
            f"the page needs {PACKAGE}, and npm, which downloads it, is not installed",
            f"Install Node.js, which brings npm. Or: {_REMEDY[0].lower()}{_REMEDY[1:]}",
        )
    return program


def _downloaded() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        command = [_npm(), "pack", PACKAGE, "--loglevel", "error", "--prefer-offline", "--pack-destination", folder]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_LONGEST, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"npm does not provide {PACKAGE}: {error}", _REMEDY) from error
        packages = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(packages) != 1:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
            raise Unavailable(f"npm does not provide {PACKAGE}: {lines[0]}", _REMEDY)
        return _unpacked(packages[0].read_bytes())


def _unpacked(package: bytes) -> dict[str, bytes]:
    """The files in memory: nothing of the archive is written under a name that it chooses."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
            for name in FILES:
                stream = archive.extractfile(f"package/dist/{name}")
                found[name] = b"" if stream is None else stream.read()
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise Unavailable(f"the package that npm provides for {PACKAGE} is damaged: {error}", _REMEDY) from error
    return found
