"""TIFF files with 8 or 16 bits per sample, which Pillow supports only in part (TIFF 6.0 and its supplement on deflate).

EXIF is itself a TIFF structure. The file begins with it unchanged, so that all offsets in it, including those of maker
notes, stay valid; the directory of the picture comes last.
"""

from __future__ import annotations

import struct
import zlib
from typing import IO

from toolkit.errors import InputError
from toolkit.images.exif import order_of, read_entries
from toolkit.images.picture import Metadata, Picture, Samples

_PHOTOMETRIC = {"L": 1, "LA": 1, "RGB": 2, "RGBA": 2, "CMYK": 5}
_BYTE, _SHORT, _LONG, _RATIONAL, _UNDEFINED = 1, 3, 4, 5, 7
_CODES = {_SHORT: "H", _LONG: "I"}
_DEFLATE, _HORIZONTAL_DIFFERENCES, _STRAIGHT_ALPHA, _INCHES = 8, 2, 2, 2
_STRIP = 1 << 20
"""Size of a strip in bytes before compression."""
_LARGEST_FILE = (1 << 32) - (1 << 16)

_NO_EXIF = b"II*\0\x08\0\0\0\0\0"
"""A TIFF structure with an empty directory."""
_OF_THE_SAMPLES = frozenset(range(254, 533)) - {269, 270, 271, 272, 282, 283, 296, 305, 306, 315, 316} | {33421, 33422}
_DNG = 50706, 52543
"""Tags that describe the samples, which are not taken from the EXIF of another file."""
_Value = tuple[int, int, bytes]
"""Type, count, and content of a tag."""


def write_tiff(file: IO[bytes], picture: Picture) -> None:
    """Write a picture with lossless compression.

    Raises:
        InputError: it is larger than the 4 GiB of a TIFF file.
    """
    exif = picture.metadata.exif or _NO_EXIF
    order = order_of(exif)
    file.write(exif + bytes(len(exif) % 2))
    places, lengths, rows = _write_strips(file, picture.samples, order)
    tags = _described(picture.metadata, order) | _laid_out(picture, order)
    tags[273] = (_LONG, len(places), struct.pack(f"{order}{len(places)}I", *places))
    tags[278] = _whole(order, _LONG, rows)
    tags[279] = (_LONG, len(lengths), struct.pack(f"{order}{len(lengths)}I", *lengths))
    directory = _write_directory(file, exif, order, tags)
    file.seek(4)
    file.write(struct.pack(order + "I", directory))


def _write_strips(file: IO[bytes], samples: Samples, order: str) -> tuple[list[int], list[int], int]:
    """Write the strips; returns their offsets, their lengths in bytes, and the rows per strip."""
    height, width, channels = samples.shape
    rows = max(1, min(height, _STRIP // (width * channels * samples.dtype.itemsize)))
    places, lengths = [], []
    for first in range(0, height, rows):
        strip = samples[first : first + rows].copy()
        strip[:, 1:] -= samples[first : first + rows, :-1]
        packed = zlib.compress(strip.astype(strip.dtype.newbyteorder("<" if order == "<" else ">")).tobytes(), 6)
        places.append(file.tell())
        lengths.append(len(packed))
        file.write(packed + bytes(len(packed) % 2))
        if file.tell() > _LARGEST_FILE:
            raise InputError("the picture needs more than the 4 GiB that a TIFF file can hold", "Write .png.")
    return places, lengths, rows


def _laid_out(picture: Picture, order: str) -> dict[int, _Value]:
    height, width, channels = picture.samples.shape
    tags = {
        256: _whole(order, _LONG, width),
        257: _whole(order, _LONG, height),
        258: _whole(order, _SHORT, *[picture.samples.dtype.itemsize * 8] * channels),
        259: _whole(order, _SHORT, _DEFLATE),
        262: _whole(order, _SHORT, _PHOTOMETRIC[picture.mode]),
        274: _whole(order, _SHORT, 1),
        277: _whole(order, _SHORT, channels),
        284: _whole(order, _SHORT, 1),
        317: _whole(order, _SHORT, _HORIZONTAL_DIFFERENCES),
    }
    if picture.mode in ("LA", "RGBA"):
        tags[338] = _whole(order, _SHORT, _STRAIGHT_ALPHA)
    return tags


def _described(metadata: Metadata, order: str) -> dict[int, _Value]:
    tags: dict[int, _Value] = {}
    if metadata.dpi is not None:
        for tag, value in zip((282, 283), metadata.dpi, strict=True):
            tags[tag] = (_RATIONAL, 1, struct.pack(order + "II", round(value * 1000), 1000))
        tags[296] = _whole(order, _SHORT, _INCHES)
    if metadata.xmp is not None:
        tags[700] = (_BYTE, len(metadata.xmp), metadata.xmp)
    if metadata.icc is not None:
        tags[34675] = (_UNDEFINED, len(metadata.icc), metadata.icc)
    return tags


def _whole(order: str, kind: int, *values: int) -> _Value:
    return kind, len(values), struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values)


def _write_directory(file: IO[bytes], exif: bytes, order: str, tags: dict[int, _Value]) -> int:
    """Write values, and the directory of the picture and of its EXIF; returns the directory's offset."""
    entries = {}
    (first,) = struct.unpack_from(order + "I", exif, 4)
    for entry in read_entries(exif, order, first):
        if entry.tag in _OF_THE_SAMPLES or _DNG[0] <= entry.tag <= _DNG[1]:
            continue
        entries[entry.tag] = exif[entry.place : entry.place + 12]
    for tag, (kind, count, content) in tags.items():
        value = content.ljust(4, b"\0")
        if len(content) > 4:
            value = struct.pack(order + "I", file.tell())
            file.write(content + bytes(len(content) % 2))
        entries[tag] = struct.pack(order + "HHI", tag, kind, count) + value
    directory = file.tell()
    file.write(struct.pack(order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4))
    return directory
