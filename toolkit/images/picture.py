"""A picture in memory: samples, colour mode and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Mode = Literal["L", "LA", "RGB", "RGBA", "CMYK"]
Samples = NDArray[Any]
"""uint8 or uint16, (H, W, C)."""

_PQ, _HLG = 16, 18
_UNSPECIFIED = 2
_BT709, _SRGB = 1, 13


@dataclass(frozen=True)
class Cicp:
    """Colour by code points (ITU-T H.273): primaries, transfer function, matrix, and whether the range is full."""

    primaries: int
    transfer: int
    matrix: int = 0
    full_range: bool = True

    @property
    def hdr(self) -> bool:
        """Whether the samples are PQ or HLG, which must not be displayed as sRGB."""
        return self.transfer in (_PQ, _HLG)

    @property
    def plain(self) -> bool:
        """Whether the picture is sRGB or unspecified."""
        return self.primaries in (_BT709, _UNSPECIFIED, 0) and self.transfer in (_SRGB, _UNSPECIFIED, 0)


@dataclass(frozen=True)
class Metadata:
    """Metadata of a picture.

    Attributes:
        icc: ICC profile.
        exif: a TIFF structure without the prefix `Exif\\0\\0`, without orientation, size and thumbnail.
        xmp: a packet whose orientation is upright.
        dpi: pixels per inch, horizontally and vertically.
        text: keys and values of PNG text chunks, or a comment.
        cicp: colour code points; has priority over `icc`.
        gamma: of PNG, the exponent of the encoding: 0.45455 for a usual display. Valid if there is no `cicp` and no
            `icc`.
        chromaticities: of PNG, x and y of white, red, green and blue; valid likewise.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()
    cicp: Cicp | None = None
    gamma: float | None = None
    chromaticities: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Picture:
    """An upright picture.

    Attributes:
        samples: (H, W, C), uint8 or uint16, full range; more than 8 bits are scaled to 16.
        mode: of the channels; CMYK as ink, 255 is full ink. Transparency is straight, not premultiplied.
        metadata: ICC profile, EXIF and so on.
        notes: what was not taken from the file.
        depth: bits per sample in the file.
    """

    samples: Samples
    mode: Mode
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    depth: int = 8

    @property
    def white(self) -> int:
        return 255 if self.samples.dtype == np.uint8 else 65535
