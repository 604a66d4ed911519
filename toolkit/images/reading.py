"""Reading pictures: whatever Pillow opens, as arrays of the samples that were in the file."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from toolkit.errors import InputError, Unavailable
from toolkit.images.picture import Metadata, Mode, Picture, Samples

_CHANNELS: dict[str, Mode] = {
    "P": "RGB",
    "1": "L",
    "L": "L",
    "I;16": "L",
    "I;16B": "L",
    "I;16L": "L",
    "I;16N": "L",
    "I": "L",
    "LA": "LA",
    "La": "LA",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "CMYK": "CMYK",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
}
_DEEP = {"gray16": "L", "ya16": "LA", "rgb48": "RGB", "rgba64": "RGBA"}
_TRANSPOSED = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[:, ::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
"""What each EXIF orientation asks for."""


def read_picture(path: Path) -> Picture:
    """A picture from a file.

    Raises:
        InputError: it cannot be read, is cut off, is too large to be a picture, or has floating-point samples.
        Unavailable: it has 16 bits a colour, which Pillow would cut to 8, and PyAV is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # twice as large is an error
            with Image.open(path) as image:
                return _picture(path, image)
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} is too large: {error}", "Pictures may have up to 178 megapixels.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(f"cannot read picture {path}: {error}", "Is it whole, and is it a picture?") from error


def _picture(path: Path, image: Image.Image) -> Picture:
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        notes.append(f"{path.name} holds {frames} pictures; the first was taken")
    if image.mode not in _CHANNELS:
        raise InputError(f"{path} has samples of type {image.mode}", "Integers of 8 or 16 bits can be upscaled.")
    deep = _is_deep_colour(image)  # asked first: reading the EXIF of a PNG loads it
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    metadata = _metadata(image)
    samples, mode = _read_deep(path) if deep else _samples(path, image)
    if turn := _TRANSPOSED.get(orientation):
        samples = np.ascontiguousarray(turn(samples))
    return Picture(samples, mode, metadata, tuple(notes))


def _samples(path: Path, image: Image.Image) -> tuple[Samples, Mode]:
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert(_without_palette(image))
    if image.mode == "I":
        array = np.asarray(image)
        if array.min() < 0 or array.max() > 65535:
            raise InputError(f"{path} has 32-bit samples", "Integers of 8 or 16 bits can be upscaled.")
        return array.astype(np.uint16)[..., None], "L"
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None], "L"
    mode = _CHANNELS[image.mode]
    samples = np.array(image if image.mode == mode else image.convert(mode))
    return samples.reshape(*samples.shape[:2], -1), mode


def _without_palette(image: Image.Image) -> str:
    """The mode that holds all colours of a palette, or a colour that is declared transparent, as samples."""
    if image.mode == "P":
        colours = np.asarray(image.getpalette("RGB") or []).reshape(-1, 3)
        grey = bool((colours == colours[:, :1]).all())
        if "transparency" in image.info:
            return "RGBA"
        return "L" if grey else "RGB"
    return {"1": "LA", "L": "LA", "RGB": "RGBA"}.get(image.mode, image.mode)


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether the file has 16 bits a sample where Pillow hands out 8."""
    tiles = getattr(image, "tile", [])
    raw = " ".join(str(part) for tile in tiles for part in (tile[3] if isinstance(tile[3], tuple) else (tile[3],)))
    return ";16" in raw and not image.mode.startswith("I")


def _read_deep(path: Path) -> tuple[Samples, Mode]:
    """16-bit colour, which Pillow has no mode for, through FFmpeg's decoders."""
    try:
        import av
    except ImportError as error:
        raise Unavailable(
            f"{path} has 16 bits a colour, and Pillow reads only 8", 'pip install "rt4ksr-toolkit[video]"'
        ) from error
    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration) as error:
        raise InputError(f"cannot read picture {path}: {error}") from error
    name = frame.format.name
    mode = _DEEP.get(name.removesuffix("be").removesuffix("le"))
    if mode is None:
        raise InputError(f"{path} has samples of type {name}", "Save it as RGB, with or without transparency.")
    kind = np.dtype(np.uint16).newbyteorder(">" if name.endswith("be") else "<")
    plane = frame.planes[0]
    channels = Image.getmodebands(mode)
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
    samples = np.ascontiguousarray(rows[:, : frame.width * channels * 2]).view(kind).astype(np.uint16)
    return samples.reshape(frame.height, frame.width, channels), _CHANNELS[mode]


def _metadata(image: Image.Image) -> Metadata:
    info = image.info
    exif = image.getexif()
    exif.pop(ExifTags.Base.Orientation, None)
    exif.pop(ExifTags.Base.ImageWidth, None)
    exif.pop(ExifTags.Base.ImageLength, None)
    if ExifTags.IFD.Exif in exif:
        for tag in (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight):
            exif.get_ifd(ExifTags.IFD.Exif).pop(tag, None)
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif.tobytes() if len(exif) and image.format != "TIFF" else _tiff_exif(exif, image),
        xmp=None if xmp is None else _UPRIGHT.sub(rb"\g<1>1\g<3>", xmp),
        dpi=_dpi(info.get("dpi")),
        text=_text(image),
    )


_UPRIGHT = re.compile(rb"(tiff:Orientation(?:=[\"']|>))(\d)([\"']|<)")


def _tiff_exif(exif: Image.Exif, image: Image.Image) -> bytes | None:
    """Of a TIFF, whose tags are its EXIF: what describes the picture, and nothing about how its samples lie."""
    if image.format != "TIFF" or not len(exif):
        return None
    kept = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in exif:
            kept[tag] = exif[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if ifd in exif:
            kept[ifd] = exif.get_ifd(ifd)
    return kept.tobytes() if len(kept) else None


_DESCRIPTIVE = (
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
    ExifTags.Base.DateTime,
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
)


def _dpi(value: Any) -> tuple[float, float] | None:
    return (float(value[0]), float(value[1])) if isinstance(value, tuple) and len(value) == 2 else None


def _text(image: Image.Image) -> tuple[tuple[str, str], ...]:
    if not isinstance(image, PngImagePlugin.PngImageFile):
        comment = image.info.get("comment")
        return (("Comment", comment.decode("utf-8", "replace")),) if isinstance(comment, bytes) else ()
    chunks = getattr(image, "text", {})
    return tuple((key, str(value)) for key, value in chunks.items() if key != "XML:com.adobe.xmp")
