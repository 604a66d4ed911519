"""Static metadata of high dynamic range (HDR10): the mastering display and the content light level."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

HDR_TRANSFERS = (16, 18)
"""AVCOL_TRC numbers (ITU-T H.273) of PQ and HLG."""
_CHROMATICITY, _LUMINANCE = 50000, 10000
"""Steps per unit in the bitstreams of H.264 and HEVC (ITU-T H.265, D.3.28)."""


@dataclass(frozen=True)
class Mastering:
    """Metadata by SMPTE ST 2086 and CTA-861.3; fields that the file does not have are empty.

    Attributes:
        primaries: x and y (CIE 1931) of red, green and blue.
        white: x and y of the white point.
        luminance: minimum and maximum of the display, in cd/m2.
        light_level: MaxCLL and MaxFALL of the content, in cd/m2.
    """

    primaries: tuple[tuple[Fraction, Fraction], ...] = ()
    white: tuple[Fraction, ...] = ()
    luminance: tuple[Fraction, ...] = ()
    light_level: tuple[int, ...] = ()

    @property
    def static(self) -> bool:
        """Whether there is any metadata to write."""
        return self.display or bool(self.light_level)

    @property
    def display(self) -> bool:
        """Whether the mastering display is described completely, as encoders require."""
        return bool(self.primaries and self.luminance)


def mastering_of(frame: av.VideoFrame) -> Mastering:
    """The metadata in the side data of a decoded frame."""
    side_data: Any = frame.side_data
    items = {item.type.name: bytes(item) for item in side_data}
    found: dict[str, Any] = {}
    if display := items.get("MASTERING_DISPLAY_METADATA"):
        # AVMasteringDisplayMetadata: ten rationals and two flags.
        numbers = struct.unpack("20i2i", display[:88])
        pairs = zip(numbers[:20:2], numbers[1:20:2], strict=True)
        rationals = [Fraction(*pair) if pair[1] else Fraction(0) for pair in pairs]
        if numbers[20]:
            found["primaries"] = tuple((rationals[at], rationals[at + 1]) for at in (0, 2, 4))
            found["white"] = tuple(rationals[6:8])
        if numbers[21]:
            found["luminance"] = tuple(rationals[8:10])
    if level := items.get("CONTENT_LIGHT_LEVEL"):
        found["light_level"] = struct.unpack("2I", level[:8])
    return Mastering(**found)


def encoder_option(codec: str, mastering: Mastering) -> tuple[str, str] | None:
    """Name and value of the option with which an encoder writes the metadata; None if it has none."""
    if codec not in _WRITERS or not mastering.static:
        return None
    option, display_name, level_name, steps = _WRITERS[codec]
    parts = []
    if mastering.display:
        parts.append(f"{display_name}={_display(mastering, *steps)}")
    if mastering.light_level:
        parts.append(f"{level_name}={','.join(map(str, mastering.light_level))}")
    return option, ":".join(parts)


def _display(mastering: Mastering, chromaticity: int, luminance: int) -> str:
    """The mastering display in the syntax of all three encoders, with numbers in their units."""
    red, green, blue = mastering.primaries
    least, most = mastering.luminance
    points = {"G": green, "B": blue, "R": red, "WP": mastering.white, "L": (most, least)}
    steps = {"L": luminance}
    return "".join(
        f"{name}({','.join(_number(value, steps.get(name, chromaticity)) for value in values)})"
        for name, values in points.items()
    )


def _number(value: Fraction, steps: int) -> str:
    """A number in units of 1/steps; as a decimal fraction if `steps` is 0."""
    return str(round(value * steps)) if steps else f"{float(value):.6f}"


_WRITERS = {
    "libx265": ("x265-params", "master-display", "max-cll", (_CHROMATICITY, _LUMINANCE)),
    "libx264": ("x264-params", "mastering-display", "cll", (_CHROMATICITY, _LUMINANCE)),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light", (0, 0)),
}
"""By encoder: its option, the names of both parts in it, and the steps of its numbers."""
