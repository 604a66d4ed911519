"""Decoding of samples for which Pillow has a mode: 8 bits per sample, or 16 bits of grey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from toolkit.errors import InputError
from toolkit.images.decoders import NOT_DECODED
from toolkit.images.picture import Metadata, Mode, Samples

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
_ADVICE = "Save it with unsigned integers of 8 or 16 bits per sample."

Shallow = tuple[Samples, Mode, int, tuple[str, ...], Metadata | None]


def shallow_samples(path: Path, image: Image.Image) -> Shallow:
    """Samples, mode, depth, notes, and metadata if the colour profile was changed.

    Raises:
        InputError: samples are of a kind that is not supported.
    """
    if image.format in NOT_DECODED:
        raise InputError(f"{path} has the format {image.format}, which is not supported", "Save it as PNG.")
    if image.mode not in _CHANNELS:
        raise InputError(f"{path} has samples of type {image.mode}, whose values have no known range", _ADVICE)
    image.load()
    if image.mode == "LAB":
        return _from_lab(image)
    if image.mode.startswith("I"):
        return (*_deep_grey(path, image), (), None)
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert(_without_palette(image))
    mode = _CHANNELS[image.mode]
    samples = np.array(image if image.mode == mode else image.convert(mode))
    return samples.reshape(*samples.shape[:2], -1), mode, 8, (), None


def _deep_grey(path: Path, image: Image.Image) -> tuple[Samples, Mode, int]:
    values = np.asarray(image)
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        raise InputError(f"{path} has 32-bit samples of no known range", _ADVICE)
    grey = values.astype(np.uint16)[..., None]
    hidden = image.info.get("transparency")
    if not isinstance(hidden, int):
        return grey, "L", 16
    alpha = np.where(grey == hidden, 0, 65535).astype(np.uint16)
    return np.concatenate([grey, alpha], 2), "LA", 16


def _without_palette(image: Image.Image) -> str:
    """The mode that represents all colours of a palette, or a transparent colour, as samples."""
    if image.mode == "P":
        colours = np.asarray(image.getpalette("RGB") or []).reshape(-1, 3)
        grey = bool((colours == colours[:, :1]).all()) and not image.info.get("icc_profile")
        if "transparency" in image.info:
            return "RGBA"
        return "L" if grey else "RGB"
    return {"1": "LA", "L": "LA", "RGB": "RGBA"}.get(image.mode, image.mode)


def _from_lab(image: Image.Image) -> Shallow:
    """CIE L*a*b* converted to sRGB by LittleCMS, with a new profile."""
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    if converted is None:
        raise ValueError("LittleCMS did not convert it")
    notes = ("CIE L*a*b* was converted to sRGB",)
    return np.asarray(converted), "RGB", 8, notes, Metadata(icc=target.tobytes())
