"""Conversions that ship with the toolkit: those of its own networks that were fine-tuned for a precision."""

from __future__ import annotations

from importlib.resources import as_file, files

from toolkit.artifact import Artifact


def shipped_conversion(parent: Artifact, name: str) -> Artifact | None:
    """The conversion of an artifact that ships, if there is one.

    Args:
        parent: the fp32 artifact; it must be the file that the conversion was made from, byte for byte.
        name: what the conversion is called.
    """
    directory = files("toolkit.network") / "weights"
    if not (directory / f"{name}.json").is_file():
        return None
    with as_file(directory) as folder:
        found = Artifact.read(folder / f"{name}.json")
    conversion = found.manifest.conversion
    same = conversion is not None and conversion.parent_sha256 == parent.manifest.onnx_sha256
    return found if same else None
