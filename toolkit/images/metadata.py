"""Metadata of a picture that Pillow has opened. Broken metadata is never a reason to refuse the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from PIL import Image, PngImagePlugin

from toolkit.images import exif, xmp
from toolkit.images.picture import Cicp, Metadata

_RAW_EXIF = ("Raw profile type exif", "Raw profile type APP1")
_XMP_KEY = "XML:com.adobe.xmp"
_LARGEST_DPI = 1e6
_UPRIGHT_ALREADY = frozenset({"HEIF", "JXL"})
"""Formats that are rotated by their decoder; the EXIF orientation is ignored (ISO/IEC 23008-12, 18181-2)."""


@dataclass(frozen=True)
class Described:
    """Metadata of a file.

    Attributes:
        metadata: what is kept.
        orientation: 1 to 8.
        trailers: whether XMP described further images or a video after the picture; that description was removed.
        notes: what else was left out.
    """

    metadata: Metadata
    orientation: int
    trailers: bool
    notes: tuple[str, ...]


def read_metadata(image: Image.Image, cicp: Cicp | None) -> Described:
    """Metadata of a picture that Pillow has loaded.

    Args:
        image: must be loaded, since some formats have metadata after their samples.
        cicp: colour code points of the file.
    """
    info, notes = image.info, []
    raw, broken = _raw_exif(info)
    if broken:
        notes.append("its EXIF is broken and was left out")
    cleaned = exif.clean(raw) if raw else exif.CleanExif(None)
    notes += cleaned.notes
    packet = info.get("xmp") or info.get(_XMP_KEY)
    packet = packet.encode() if isinstance(packet, str) else packet
    trailers = False
    if packet is not None:
        packet, trailers = xmp.without_trailers(xmp.upright(packet))
    icc, reason = checked_profile(info.get("icc_profile"))
    notes += reason
    colour = {} if cicp or icc or "srgb" in info else _png_colour(info)
    return Described(
        Metadata(
            icc=icc,
            exif=cleaned.content,
            xmp=packet or None,
            dpi=_dpi(info.get("dpi")),
            text=_text(image),
            cicp=None if cicp is None or cicp.plain else cicp,
            **colour,
        ),
        1 if image.format in _UPRIGHT_ALREADY else cleaned.orientation,
        trailers,
        tuple(notes),
    )


def checked_profile(icc: Any) -> tuple[bytes | None, tuple[str, ...]]:
    """An ICC profile if its header is valid (ICC.1:2022, 7.2), otherwise None and a note."""
    if not icc:
        return None, ()
    if not isinstance(icc, bytes) or len(icc) < 132 or icc[36:40] != b"acsp":
        return None, ("its colour profile is broken and was left out",)
    return icc, ()


def _raw_exif(info: dict[Any, Any]) -> tuple[bytes | None, bool]:
    """EXIF as bytes, and whether it is unreadable; ImageMagick writes it as hexadecimal text."""
    if isinstance(content := info.get("exif"), bytes) and content:
        return content, False
    for key in _RAW_EXIF:
        if isinstance(text := info.get(key), str):
            try:
                return bytes.fromhex("".join(text.split("\n")[3:])), False
            except ValueError:
                return None, True
    return None, False


def _png_colour(info: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    gamma, chromaticities = info.get("gamma"), info.get("chromaticity")
    if isinstance(gamma, float) and gamma > 0:
        found["gamma"] = gamma
    if isinstance(chromaticities, tuple) and len(chromaticities) == 8:
        found["chromaticities"] = tuple(map(float, chromaticities))
    return found


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        across, down = (float(item) for item in value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    usable = all(math.isfinite(item) and 0 < item < _LARGEST_DPI for item in (across, down))
    return (across, down) if usable else None


def _text(image: Image.Image) -> tuple[tuple[str, str], ...]:
    if not isinstance(image, PngImagePlugin.PngImageFile):
        comment = image.info.get("comment")
        return (("Comment", comment.decode("utf-8", "replace")),) if isinstance(comment, bytes) else ()
    chunks = getattr(image, "text", {})
    dropped = (_XMP_KEY, *_RAW_EXIF, "Raw profile type xmp", "Raw profile type icc")
    return tuple((key, str(value)) for key, value in chunks.items() if key not in dropped)
