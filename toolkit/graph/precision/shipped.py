"""Conversions that ship with the toolkit: those of its own networks that were fine-tuned for a precision."""

from __future__ import annotations

from importlib.resources import as_file, files

import msgspec

from toolkit.artifact import Artifact, Manifest


def shipped_conversion(parent: Artifact, name: str) -> Artifact | None:
    """The conversion of an artifact that ships, if there is one.

    Files that other versions of the toolkit or of PyTorch export differ in a few bytes, so the conversion is recognised
    by its weights and ports, and its record then names this parent.

    Args:
        parent: the fp32 artifact.
        name: what the conversion is called.
    """
    directory = files("toolkit.network") / "weights"
    if not (directory / f"{name}.json").is_file():
        return None
    with as_file(directory) as folder:
        found = Artifact.read(folder / f"{name}.json")
    manifest = found.manifest
    if manifest.conversion is None or _identity(manifest) != _identity(parent.manifest):
        return None
    conversion = msgspec.structs.replace(manifest.conversion, parent_sha256=parent.manifest.onnx_sha256)
    return Artifact(found.path, msgspec.structs.replace(manifest, conversion=conversion))


def _identity(manifest: Manifest) -> tuple[object, ...]:
    return manifest.source.network_sha256, manifest.input, manifest.output, manifest.shape
