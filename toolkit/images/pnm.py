"""Portable pixmaps (netpbm's PGM and PPM) with more than 8 bits per sample, which Pillow reduces to 8."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from toolkit.images.picture import Mode, Samples

_HEADER = re.compile(rb"(P[2356])" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 3 + rb"(?:#[^\n]*\n)?\s")


def deep_pixmap(path: Path) -> tuple[Samples, Mode, int] | None:
    """Samples scaled to 16 bits, mode and depth of a pixmap with more than 8 bits per sample; None for other files.

    Raises:
        OSError: the file ends before its last sample.
        ValueError: a sample is larger than the file's own maximum.
    """
    with path.open("rb") as file:
        found = _HEADER.match(file.read(4096))
        if found is None or not 255 < int(found[4]) < 65536:
            return None
        width, height, most = int(found[2]), int(found[3]), int(found[4])
        channels = 3 if found[1] in (b"P3", b"P6") else 1
        count = width * height * channels
        file.seek(found.end())
        if found[1] in (b"P5", b"P6"):
            values = np.frombuffer(file.read(2 * count), ">u2").astype(np.uint32)
        else:
            values = np.array(file.read().split()[:count], np.uint32)
    if len(values) < count:
        raise OSError("the file is truncated")
    if most < 65535:
        if values.max(initial=0) > most:
            raise ValueError(f"a sample is larger than {most}")
        values = (values * 65535 + most // 2) // most
    samples = values.astype(np.uint16).reshape(height, width, channels)
    return samples, "RGB" if channels == 3 else "L", int(most).bit_length()
