"""ICC profiles for colour code points or PNG's gamma, for formats that support only profiles.

Matrix and curve profiles of version 4 (ICC.1:2022, 8.3 and 8.4.1); code points are those of ITU-T H.273.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.images.picture import Metadata

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_BT709 = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_BT601 = (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: _BT709,
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: _BT601,
    7: _BT601,
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (*_DCI, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
"""x and y of white, red, green and blue."""
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_CURVES: dict[int, tuple[float, ...]] = {
    1: _BT709_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _BT709_CURVE,
    8: (1.0,),
    13: _SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
}
"""Parameters of ICC's parametric curves from samples to light: g; or g, a, b, c, d (types 0 and 3)."""
_UNSPECIFIED = (0, 2)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])
_EXPONENTS = 0.1, 10.0


@dataclass(frozen=True)
class ColourSpace:
    """Chromaticities of white, red, green and blue, and the curve from samples to light."""

    chromaticities: tuple[float, ...]
    curve: tuple[float, ...]


def colour_space(metadata: Metadata) -> ColourSpace | None:
    """Colour space of code points, or of PNG's gamma and chromaticities; None if no profile can describe it, as HDR."""
    if metadata.cicp is not None:
        cicp = metadata.cicp
        primaries = _BT709 if cicp.primaries in _UNSPECIFIED else _PRIMARIES.get(cicp.primaries)
        curve = _SRGB_CURVE if cicp.transfer in _UNSPECIFIED else _CURVES.get(cicp.transfer)
        return None if primaries is None or curve is None else ColourSpace(primaries, curve)
    curve = _SRGB_CURVE
    if metadata.gamma is not None:
        if not _EXPONENTS[0] <= 1 / metadata.gamma <= _EXPONENTS[1]:
            return None
        curve = (1 / metadata.gamma,)
    chromaticities = metadata.chromaticities or _BT709
    usable = all(0 <= x <= 1 and 0 < y <= 1 for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True))
    return ColourSpace(chromaticities, curve) if usable and _is_gamut(chromaticities) else None


def _is_gamut(chromaticities: tuple[float, ...]) -> bool:
    """Whether red, green and blue span an area."""
    return abs(float(np.linalg.det(_columns(chromaticities)[:, 1:]))) > 1e-4


def profile(space: ColourSpace, *, grey: bool) -> bytes:
    """An ICC profile for RGB or grey."""
    curve = _curve(space.curve)
    text = {b"desc": _text("Colour of the original picture"), b"cprt": _text("CC0")}
    matrix, adaptation = _matrices(space.chromaticities)
    tags = {**text, b"wtpt": _xyz(_D50), b"chad": b"sf32" + bytes(4) + _fixed(adaptation.ravel())}
    if grey:
        tags[b"kTRC"] = curve
    else:
        tags |= {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    return _assembled(b"GRAY" if grey else b"RGB ", tags)


def _columns(chromaticities: tuple[float, ...]) -> NDArray[np.float64]:
    """XYZ of white, red, green and blue at luminance 1, as columns."""
    return np.array(
        [(x / y, 1.0, (1 - x - y) / y) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)]
    ).T


def _matrices(chromaticities: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From linear RGB to XYZ as seen under D50, and the Bradford adaptation in it (ICC.1:2022, annex E)."""
    columns = _columns(chromaticities)
    white, primaries = columns[:, 0], columns[:, 1:]
    to_xyz = primaries * np.linalg.solve(primaries, white)
    gain = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adaptation = np.linalg.solve(_BRADFORD, gain[:, None] * _BRADFORD)
    return adaptation @ to_xyz, adaptation


def _fixed(values: NDArray[np.float64]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(float(value) * 65536) for value in values))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _curve(parameters: tuple[float, ...]) -> bytes:
    kind = 0 if len(parameters) == 1 else 3
    return b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(np.array(parameters))


def _text(text: str) -> bytes:
    content = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(content), 28) + content


def _assembled(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    place, table, values = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, place + len(values), len(content))
        values += content + bytes(-len(content) % 4)
    size = place + len(values)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x04200000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + values
