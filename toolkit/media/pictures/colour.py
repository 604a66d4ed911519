"""Colour of pictures in a format: ICC profiles, code points, and conversions to modes that the format supports."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from toolkit.errors import InputError
from toolkit.images.picture import Picture, Samples
from toolkit.media.pictures.icc import colour_space, profile

_SPACES = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}
_HDR = ("PNG", "AVIF")
_GAMMA = ("PNG",)
"""Formats that support colour code points; and gamma and chromaticities."""


def checked_colour(picture: Picture) -> tuple[Picture, tuple[str, ...]]:
    """The picture with an ICC profile that fits its mode, or without one; and notes.

    Grey with a profile for RGB becomes RGB with three equal channels, for which the profile is valid.
    """
    icc = picture.metadata.icc
    if icc is None or icc[16:20] == _SPACES[picture.mode]:
        return picture, ()
    if picture.mode in ("L", "LA") and icc[16:20] == b"RGB ":
        return repeated_grey(picture), ("grey with a colour profile for RGB was written as RGB",)
    space = icc[16:20].decode("ascii", "replace").strip()
    without = replace(picture, metadata=replace(picture.metadata, icc=None))
    return without, (f"its colour profile is for {space}, not for {picture.mode}, and was left out",)


def repeated_grey(picture: Picture) -> Picture:
    """Grey, with or without transparency, as RGB with three equal channels."""
    grey, alpha = picture.samples[..., :1], picture.samples[..., 1:]
    samples = np.concatenate([grey, grey, grey, alpha], 2)
    return replace(picture, samples=samples, mode="RGBA" if picture.mode == "LA" else "RGB")


def grey_as_rgb(picture: Picture) -> Picture:
    """Grey as RGB, for formats without grey; converted to sRGB by LittleCMS if it has a profile."""
    made, icc = repeated_grey(picture), picture.metadata.icc
    if icc is None or icc[16:20] != b"GRAY":
        return made
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    try:
        converted = ImageCms.profileToProfile(ramp, io.BytesIO(icc), ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:
        converted = None
    metadata = replace(picture.metadata, icc=None)
    if converted is None:
        return replace(made, metadata=metadata)
    levels = np.asarray(converted)[0, :, 1].astype(np.float64)
    values = made.samples[..., :3] / (made.white / 255)
    colour = np.rint(np.interp(values, np.arange(256), levels) * (made.white / 255)).astype(made.samples.dtype)
    return replace(made, samples=np.concatenate([colour, made.samples[..., 3:]], 2), metadata=metadata)


def cmyk_as_rgb(samples: Samples, icc: bytes | None) -> tuple[Samples, bytes | None]:
    """uint8 CMYK converted to sRGB, and the sRGB profile; without a profile, Pillow's conversion and None."""
    image = Image.fromarray(np.ascontiguousarray(samples), "CMYK")
    if icc is None:
        return np.asarray(image.convert("RGB")), None
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        converted = ImageCms.profileToProfile(image, io.BytesIO(icc), target, outputMode="RGB")
    except ImageCms.PyCMSError:
        return np.asarray(image.convert("RGB")), None
    return np.asarray(converted), target.tobytes()


def tagged(picture: Picture, kind: str) -> tuple[Picture, tuple[str, ...]]:
    """The picture with its colour as the format supports it: code points and gamma may become an ICC profile.

    Raises:
        InputError: the picture is HDR, and the format does not support it.
    """
    metadata = picture.metadata
    cicp = metadata.cicp
    if cicp is not None and cicp.hdr and kind not in _HDR:
        name = "PQ" if cicp.transfer == 16 else "HLG"
        raise InputError(f"the picture is HDR ({name}), and {kind} cannot represent that", "Write .png or .avif.")
    if cicp is not None and kind not in _HDR:
        return _with_profile(picture, "code points")
    if cicp is None and (metadata.gamma or metadata.chromaticities) and kind not in _GAMMA:
        return _with_profile(picture, "gamma and chromaticities")
    return picture, ()


def _with_profile(picture: Picture, what: str) -> tuple[Picture, tuple[str, ...]]:
    metadata = picture.metadata
    plain = replace(metadata, cicp=None, gamma=None, chromaticities=None)
    if metadata.icc is not None:
        return replace(picture, metadata=plain), ()
    space = colour_space(metadata)
    if space is None or picture.mode == "CMYK":
        return replace(picture, metadata=plain), (
            f"its colour {what} cannot be written as a profile and were left out",
        )
    return replace(picture, metadata=replace(plain, icc=profile(space, grey=picture.mode in ("L", "LA")))), ()
