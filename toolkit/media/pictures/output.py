"""Writing pictures: the format by the file's name, whole or not at all."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from toolkit.atomic import publish, writable, write_bytes
from toolkit.errors import InputError
from toolkit.images.picture import Metadata, Picture, Samples
from toolkit.media.pictures.png import png_16

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
_COMMENT = "Comment"
_FULL_COLOUR = 90
"""JPEG quality from which colour is stored in full resolution."""


@dataclass(frozen=True)
class PictureFormat:
    """How pictures are written.

    Attributes:
        quality: of JPEG, WebP and AVIF, 1..100.
        lossless: WebP without loss.
        suffix: of files that are not named; None keeps the input's where it can be written, else .png.
    """

    quality: int = 95
    lossless: bool = False
    suffix: str | None = None


def format_of(path: Path) -> str:
    """The format that a name asks for.

    Raises:
        InputError: none that can be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path} does not say what to write", f"Formats: {', '.join(FORMATS)}.")
    return FORMATS[path.suffix.lower()]


def write_picture(path: Path, picture: Picture, options: PictureFormat, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write a picture.

    Returns:
        Notes about what the format could not hold.

    Raises:
        InputError: it cannot be written, or the format does not hold pictures this large.
        OutputExists: `path` exists, and `overwrite` is false.
    """
    kind = format_of(path)
    height, width = picture.samples.shape[:2]
    if max(height, width) > LARGEST_SIDE.get(kind, 1 << 30):
        raise InputError(
            f"{path} would be {width}x{height}, and {kind} holds up to {LARGEST_SIDE[kind]} pixels a side",
            "Write a PNG or TIFF.",
        )
    fitting, notes = _fitting(picture, kind)
    if fitting.samples.dtype == np.uint16 and kind == "PNG":
        write_bytes(path, png_16(fitting.samples, fitting.metadata), overwrite=overwrite)
    else:
        _save(path, fitting, kind, options, overwrite=overwrite)
    return notes


def _fitting(picture: Picture, kind: str) -> tuple[Picture, tuple[str, ...]]:
    """The picture as the format can hold it."""
    notes = []
    samples, mode, metadata = picture.samples, picture.mode, picture.metadata
    if samples.dtype == np.uint16 and kind != "PNG" and not (kind == "TIFF" and mode == "L"):
        samples = np.rint(samples / np.float32(257)).astype(np.uint8)
        notes.append(f"{kind} holds 8 bits a sample here: 16 were rounded; PNG keeps them")
    if mode in ("LA", "RGBA") and kind == "JPEG":
        samples, mode = _on_white(samples), ("L" if mode == "LA" else "RGB")
        notes.append(f"{kind} holds no transparency: put on white")
    if mode == "CMYK" and mode not in _MODES[kind]:
        samples, icc = _cmyk_to_rgb(samples, metadata.icc)
        mode, metadata = "RGB", replace(metadata, icc=icc)
        notes.append(f"{kind} holds no CMYK: converted to RGB")
    if mode in ("L", "LA") and mode not in _MODES[kind]:
        grey, alpha = samples[..., :1], samples[..., 1:]
        samples, mode = np.concatenate([grey, grey, grey, alpha], axis=2), ("RGB" if mode == "L" else "RGBA")
    return Picture(samples, mode, metadata), tuple(notes)


def _on_white(samples: Samples) -> Samples:
    alpha = samples[..., -1:].astype(np.float32) / 255
    colour: Samples = np.rint(samples[..., :-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return colour


def _cmyk_to_rgb(samples: Samples, icc: bytes | None) -> tuple[Samples, bytes | None]:
    """By its profile into sRGB where it has one, else as Pillow does."""
    image = Image.fromarray(samples, "CMYK")
    if icc is None:
        return np.asarray(image.convert("RGB")), None
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        converted = ImageCms.profileToProfile(image, io.BytesIO(icc), target, outputMode="RGB")
    except ImageCms.PyCMSError:
        return np.asarray(image.convert("RGB")), None
    return np.asarray(converted), target.tobytes()


class _Stream:
    """A file that Pillow writes to piece by piece: large pictures need not be in memory once more, and a full disk is
    the operating system's error, which Pillow's own writing to a file descriptor hides."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.seek, self.tell, self.flush = file.write, file.seek, file.tell, file.flush


def _save(path: Path, picture: Picture, kind: str, options: PictureFormat, *, overwrite: bool) -> None:
    """Write through a temporary file beside it."""
    settings = _common(picture.metadata) | _SETTINGS[kind](picture, options)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                _image(picture).save(cast("IO[bytes]", _Stream(file)), kind, **settings)
            publish(temporary, path, overwrite=overwrite)
        except (ValueError, MemoryError) as error:
            raise InputError(f"cannot write {path} as {kind}: {error}", "Write another format.") from error
        finally:
            temporary.unlink(missing_ok=True)


def _common(metadata: Metadata) -> dict[str, Any]:
    given = {"icc_profile": metadata.icc, "exif": metadata.exif, "dpi": metadata.dpi}
    return {name: value for name, value in given.items() if value is not None}


def _lossy(picture: Picture, options: PictureFormat) -> dict[str, Any]:
    settings: dict[str, Any] = {"quality": options.quality}
    return settings if picture.metadata.xmp is None else settings | {"xmp": picture.metadata.xmp}


def _jpeg(picture: Picture, options: PictureFormat) -> dict[str, Any]:
    settings = _lossy(picture, options) | {"subsampling": 0 if options.quality >= _FULL_COLOUR else 2}
    comment = dict(picture.metadata.text).get(_COMMENT)
    return settings | {"comment": comment} if comment else settings


def _webp(picture: Picture, options: PictureFormat) -> dict[str, Any]:
    return _lossy(picture, options) | {"lossless": options.lossless, "exact": True}


def _tiff(picture: Picture, _options: PictureFormat) -> dict[str, Any]:
    """EXIF becomes tags of the file. Those that have a directory of their own are written only without compression."""
    exif, metadata = Image.Exif(), picture.metadata
    if metadata.exif is not None:
        exif.load(metadata.exif)
    nested = any(ifd in exif for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo))
    if metadata.xmp is not None:
        exif[_XMP] = metadata.xmp
    return {"exif": exif, "compression": "raw" if nested else "tiff_adobe_deflate"}


_XMP = 700
"""The TIFF tag."""


def _png(picture: Picture, _options: PictureFormat) -> dict[str, Any]:
    info = PngImagePlugin.PngInfo()
    for key, value in picture.metadata.text:
        info.add_itxt(key, value)
    if picture.metadata.xmp is not None:
        info.add_itxt("XML:com.adobe.xmp", picture.metadata.xmp.decode("utf-8", "replace"))
    return {"pnginfo": info}


_SETTINGS = {"PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "AVIF": _lossy, "TIFF": _tiff}


def _image(picture: Picture) -> Image.Image:
    samples = np.ascontiguousarray(picture.samples)
    if picture.mode == "L":
        return Image.fromarray(samples[..., 0])
    height, width = samples.shape[:2]
    # By its buffer: a copy of a large picture is gigabytes.
    return Image.frombuffer(picture.mode, (width, height), samples.reshape(-1), "raw", picture.mode, 0, 1)
