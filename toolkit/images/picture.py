"""What a picture is in memory: samples, what its channels are, and what describes it."""

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
        """Whether the samples are PQ or HLG: shown as sRGB they are far too pale."""
        return self.transfer in (_PQ, _HLG)

    @property
    def plain(self) -> bool:
        """Whether it says no more than that the picture is sRGB, or nothing."""
        return self.primaries in (_BT709, _UNSPECIFIED, 0) and self.transfer in (_SRGB, _UNSPECIFIED, 0)


@dataclass(frozen=True)
class Metadata:
    """What belongs to a picture and is not samples.

    Attributes:
        icc: ICC profile.
        exif: a TIFF structure without the prefix `Exif\\0\\0`, without orientation, size and thumbnail.
        xmp: a packet that says that the picture stands upright.
        dpi: pixels per inch, horizontally and vertically.
        text: keys and values of PNG text chunks, or a comment.
        cicp: colour by code points; comes before `icc`.
        gamma: the exponent that samples were encoded with, of PNG: 0.45455 for a usual display. Holds where neither
            `cicp` nor `icc` is given.
        chromaticities: x and y of white, red, green and blue, of PNG; likewise.
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
    """A picture that stands upright.

    Attributes:
        samples: (H, W, C), uint8 or uint16, full range: those of the file, or scaled up to 16 bits.
        mode: what the channels are; CMYK as ink, 255 is all of it. Transparency is straight, not premultiplied.
        metadata: ICC profile, EXIF and so on.
        notes: what was not taken over from the file.
        depth: bits a sample in the file.
    """

    samples: Samples
    mode: Mode
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    depth: int = 8

    @property
    def white(self) -> int:
        return 255 if self.samples.dtype == np.uint8 else 65535
