"""What a picture is in memory: samples, what its channels are, and what describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Mode = Literal["L", "LA", "RGB", "RGBA", "CMYK"]
Samples = NDArray[Any]
"""uint8 or uint16, (H, W, C)."""


@dataclass(frozen=True)
class Metadata:
    """What belongs to a picture and is not pixels. EXIF and XMP already say that it stands upright."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Picture:
    """A picture that stands upright.

    Attributes:
        samples: (H, W, C), uint8 or uint16, full range, as they were in the file.
        mode: what the channels are; CMYK as ink, 255 is all of it.
        metadata: ICC profile, EXIF and so on.
        notes: what was not taken over from the file.
    """

    samples: Samples
    mode: Mode
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()

    @property
    def white(self) -> int:
        return 255 if self.samples.dtype == np.uint8 else 65535
