"""Writing pictures; the file's suffix selects the format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from PIL import Image, PngImagePlugin

from toolkit.errors import InputError
from toolkit.images.picture import Metadata, Picture
from toolkit.images.rgb import on_white, to_8_bits
from toolkit.media.pictures.avif import avif
from toolkit.media.pictures.colour import checked_colour, cmyk_as_rgb, grey_as_rgb, tagged
from toolkit.media.pictures.metadata import COMMENT, described
from toolkit.media.pictures.png import png
from toolkit.media.pictures.tiff import write_tiff
from toolkit.system.atomic import new_file, writable, write_bytes

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
LARGEST_SIDE = {"JPEG": 65535, "WEBP": 16383, "AVIF": 65535}
_MODES = {
    "PNG": ("L", "LA", "RGB", "RGBA"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "CMYK"),
}
_FULL_COLOUR = 90
"""JPEG quality from which chroma is stored at full resolution."""


@dataclass(frozen=True)
class PictureFormat:
    """How pictures are written.

    Attributes:
        quality: of JPEG, WebP and AVIF, 1 to 100.
        lossless: whether WebP is lossless.
        suffix: of outputs that are not named; None: the input's if it can be written, else .png.
    """

    quality: int = 95
    lossless: bool = False
    suffix: str | None = None


def format_of(path: Path) -> str:
    """The format for a file's suffix.

    Raises:
        InputError: there is none that can be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path} does not name a picture format by its suffix", f"Formats: {', '.join(FORMATS)}.")
    return FORMATS[path.suffix.lower()]


def write_picture(path: Path, picture: Picture, options: PictureFormat, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write a picture.

    Returns:
        Notes about what the format does not support.

    Raises:
        InputError: the file cannot be written, or the format does not support pictures of this size.
        OutputExists: `path` exists, and `overwrite` is false.
    """
    kind = format_of(path)
    height, width = picture.samples.shape[:2]
    if max(height, width) > LARGEST_SIDE.get(kind, 1 << 30):
        raise InputError(
            f"{path} would be {width}x{height}, and {kind} holds up to {LARGEST_SIDE[kind]} pixels per side",
            "Write a PNG or TIFF.",
        )
    fitting, notes = _fitting(picture, kind)
    if kind == "TIFF":
        _through_temporary(path, lambda file: write_tiff(file, fitting), overwrite=overwrite)
    elif kind == "AVIF" and (fitting.samples.dtype == np.uint16 or fitting.metadata.cicp is not None):
        write_bytes(path, avif(fitting, options.quality), overwrite=overwrite)
    elif kind == "PNG" and (fitting.samples.dtype == np.uint16 or _has_colour_chunks(fitting.metadata)):
        write_bytes(path, png(fitting.samples, fitting.metadata), overwrite=overwrite)
    else:
        _save(path, fitting, kind, options, overwrite=overwrite)
    return notes


def _has_colour_chunks(metadata: Metadata) -> bool:
    return any(item is not None for item in (metadata.cicp, metadata.gamma, metadata.chromaticities))


def _fitting(picture: Picture, kind: str) -> tuple[Picture, tuple[str, ...]]:
    """The picture in a mode and with metadata that the format supports, and notes about what is lost."""
    picture, mismatched = checked_colour(picture)
    made, tagging = tagged(picture, kind)
    notes = [*mismatched, *tagging]
    if made.samples.dtype == np.uint16 and not _holds_16_bits(made, kind):
        made = replace(made, samples=to_8_bits(made.samples))
        notes.append(f"{kind} holds 8 bits per sample here: 16 were rounded; PNG keeps them")
    if made.mode in ("LA", "RGBA") and kind == "JPEG":
        made = replace(made, samples=on_white(made.samples), mode="L" if made.mode == "LA" else "RGB")
        notes.append(f"{kind} holds no transparency: put on white")
    if made.mode == "CMYK" and made.mode not in _MODES[kind]:
        # With 8 bits, since Pillow's LittleCMS does not convert more.
        samples, icc = cmyk_as_rgb(to_8_bits(made.samples), made.metadata.icc)
        made = replace(made, samples=samples, mode="RGB", metadata=replace(made.metadata, icc=icc))
        notes.append(f"{kind} holds no CMYK: converted to RGB")
    if made.mode in ("L", "LA") and made.mode not in _MODES[kind]:
        made = grey_as_rgb(made)
    metadata, left_out = described(made, kind)
    return replace(made, metadata=metadata), (*notes, *left_out)


def _holds_16_bits(picture: Picture, kind: str) -> bool:
    """Whether the format has 16 bits, or AVIF's 12, which cannot be written together with an ICC profile."""
    if picture.mode == "CMYK":
        return kind == "TIFF"
    return kind in ("PNG", "TIFF") or (kind == "AVIF" and picture.metadata.icc is None)


class _Stream:
    """A file without a descriptor, so that Pillow writes through Python.

    Large pictures are then not buffered as a whole, and a full disk raises OSError, which Pillow's own writing to a
    file descriptor hides.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.seek, self.tell, self.flush = file.write, file.seek, file.tell, file.flush


def _save(path: Path, picture: Picture, kind: str, options: PictureFormat, *, overwrite: bool) -> None:
    """Write with Pillow."""
    settings = _common(picture.metadata) | _SETTINGS[kind](picture, options)
    try:
        _through_temporary(
            path,
            lambda file: _image(picture).save(cast("IO[bytes]", _Stream(file)), kind, **settings),
            overwrite=overwrite,
        )
    except (ValueError, MemoryError) as error:
        raise InputError(f"cannot write {path} as {kind}: {error}", "Write another format.") from error


def _through_temporary(path: Path, write: Callable[[IO[bytes]], None], *, overwrite: bool) -> None:
    with writable(path), new_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        write(file)


def _common(metadata: Metadata) -> dict[str, Any]:
    exif = None if metadata.exif is None else b"Exif\0\0" + metadata.exif
    given = {"icc_profile": metadata.icc, "exif": exif, "dpi": metadata.dpi}
    return {name: value for name, value in given.items() if value is not None}


def _lossy(picture: Picture, options: PictureFormat) -> dict[str, Any]:
    settings: dict[str, Any] = {"quality": options.quality}
    return settings if picture.metadata.xmp is None else settings | {"xmp": picture.metadata.xmp}


def _jpeg(picture: Picture, options: PictureFormat) -> dict[str, Any]:
    settings = _lossy(picture, options) | {"subsampling": 0 if options.quality >= _FULL_COLOUR else 2}
    comment = dict(picture.metadata.text).get(COMMENT)
    return settings | {"comment": comment} if comment else settings


def _webp(picture: Picture, options: PictureFormat) -> dict[str, Any]:
    return _lossy(picture, options) | {"lossless": options.lossless, "exact": True}


def _png(picture: Picture, _options: PictureFormat) -> dict[str, Any]:
    info = PngImagePlugin.PngInfo()
    for key, value in picture.metadata.text:
        info.add_itxt(key, value, zip=True)
    if picture.metadata.xmp is not None:
        info.add_itxt("XML:com.adobe.xmp", picture.metadata.xmp.decode("utf-8", "replace"))
    return {"pnginfo": info}


_SETTINGS = {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "AVIF": _lossy}


def _image(picture: Picture) -> Image.Image:
    samples = np.ascontiguousarray(picture.samples)
    if picture.mode == "L":
        return Image.fromarray(samples[..., 0])
    height, width = samples.shape[:2]
    # Without a copy, which would take gigabytes for a large picture.
    return Image.frombuffer(picture.mode, (width, height), samples.reshape(-1), "raw", picture.mode, 0, 1)
