"""The part of a picture's metadata that a format supports, and notes about the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolkit.images.picture import Metadata, Picture
from toolkit.quoting import first_few

COMMENT = "Comment"
_SEGMENT = 65533
"""Capacity of a JPEG segment in bytes."""
_XMP_NAME, _EXIF_NAME = 29, 6
"""Bytes of the names at the start of JPEG segments."""
_LARGEST_JPEG_DPI = 65535
_NAMED = 4
"""Number of texts that a note names."""


def described(picture: Picture, kind: str) -> tuple[Metadata, tuple[str, ...]]:
    """Metadata that the format `kind` supports, and notes about the rest."""
    metadata, notes = picture.metadata, list[str]()
    kept = tuple(item for item in metadata.text if kind == "PNG" or (kind == "JPEG" and item[0] == COMMENT))
    if lost := [key for key, _ in metadata.text if key not in dict(kept)]:
        notes.append(f"{kind} holds no text chunks: {first_few(lost, _NAMED)} left out")
    metadata = replace(metadata, text=kept)
    if kind == "JPEG":
        metadata, large = _in_segments(metadata)
        notes += large
    if kind == "AVIF" and picture.samples.dtype == np.uint16:
        names = [name for name, value in (("EXIF", metadata.exif), ("XMP", metadata.xmp)) if value is not None]
        if names:
            notes.append(f"AVIF of more than 8 bits is written without {' and '.join(names)}; PNG keeps them")
        metadata = replace(metadata, exif=None, xmp=None)
    return metadata, tuple(notes)


def _in_segments(metadata: Metadata) -> tuple[Metadata, list[str]]:
    """Metadata without what is too large for a JPEG, and notes."""
    notes = []
    if metadata.exif is not None and len(metadata.exif) + _EXIF_NAME > _SEGMENT:
        metadata = replace(metadata, exif=None)
        notes.append("its EXIF is too large for a JPEG and was left out")
    if metadata.xmp is not None and len(metadata.xmp) + _XMP_NAME > _SEGMENT:
        metadata = replace(metadata, xmp=None)
        notes.append("its XMP is too large for a JPEG and was left out")
    if any(len(value.encode()) > _SEGMENT for _, value in metadata.text):
        metadata = replace(metadata, text=())
        notes.append("its comment is too large for a JPEG and was left out")
    if metadata.dpi is not None and max(metadata.dpi) > _LARGEST_JPEG_DPI:
        metadata = replace(metadata, dpi=None)
        notes.append("its resolution is too large for a JPEG and was left out")
    return metadata, notes
