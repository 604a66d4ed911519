"""PNG with 16 bits per sample or with colour chunks, which not every version of Pillow writes (PNG specification, third
edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from toolkit.images.picture import Metadata, Samples

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_UP = 2
_ROWS_AT_ONCE = 64


def png(samples: Samples, metadata: Metadata) -> bytes:
    """A PNG file of samples (H, W, C), uint8 or uint16, with 1 to 4 channels, and metadata."""
    height, width, channels = samples.shape
    header = struct.pack(">IIBBBBB", width, height, samples.dtype.itemsize * 8, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), *(_chunk(kind, content) for kind, content in _described(metadata))]
    chunks += [_chunk(b"IDAT", part) for part in _compressed(samples)]
    return b"".join([_SIGNATURE, *chunks, _chunk(b"IEND", b"")])


def _colour(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the colour chunks, without the ICC profile (PNG, third edition, 11.3.2)."""
    if metadata.cicp is not None:
        cicp = metadata.cicp
        # RGB has no matrix, and the samples have full range.
        yield b"cICP", bytes([cicp.primaries & 255, cicp.transfer & 255, 0, 1])
    if metadata.gamma is not None:
        yield b"gAMA", struct.pack(">I", _hundred_thousandths(metadata.gamma))
    if metadata.chromaticities is not None:
        yield b"cHRM", struct.pack(">8I", *map(_hundred_thousandths, metadata.chromaticities))


def _hundred_thousandths(value: float) -> int:
    return min(max(round(value * 100000), 0), (1 << 31) - 1)


def _described(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    yield from _colour(metadata)
    if metadata.icc:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)
    if metadata.dpi:
        x, y = (round(value / 0.0254) for value in metadata.dpi)
        yield b"pHYs", struct.pack(">IIB", x, y, 1)
    if metadata.exif:
        yield b"eXIf", metadata.exif
    if metadata.xmp:
        yield b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp
    for key, value in metadata.text:
        yield b"iTXt", key.encode("latin-1", "replace") + b"\0\1\0\0\0" + zlib.compress(value.encode())


def _compressed(samples: Samples) -> Iterator[bytes]:
    """Compressed rows, filtered by the difference from the row above."""
    height, width, channels = samples.shape
    packer = zlib.compressobj(6)
    above = np.zeros((1, width * channels * samples.dtype.itemsize), np.uint8)
    for first in range(0, height, _ROWS_AT_ONCE):
        rows = (
            np.ascontiguousarray(samples[first : first + _ROWS_AT_ONCE])
            .astype(samples.dtype.newbyteorder(">"))
            .view(np.uint8)
        )
        rows = rows.reshape(rows.shape[0], -1)
        filtered = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
        filtered[:, 0] = _UP
        filtered[:, 1:] = rows - np.concatenate([above, rows[:-1]])
        above = rows[-1:]
        if packed := packer.compress(filtered.tobytes()):
            yield packed
    yield packer.flush()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
