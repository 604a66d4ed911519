"""EXIF as bytes: entries are removed in place; all others, including maker notes, keep their bytes and offsets.

Pillow decodes and encodes every value, which turns text outside ASCII into question marks and fails for values of an
unexpected type. Here only the directory structure (TIFF 6.0, section 2; Exif 2.32, section 4.6.2) is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ORIENTATION = 0x0112
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of one value, by the type's number."""
_RATIONAL, _SHORT = 5, 3
_NUMBERS = frozenset({3, 4, 5, 8, 9, 10, 11, 12})
_MEASURES = {0x011A: "XResolution", 0x011B: "YResolution", 0x0128: "ResolutionUnit", ORIENTATION: "Orientation"}
"""Entries that readers use as numbers: some readers refuse the picture if one has another type."""
_THUMBNAIL_START, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_OF_THE_SAMPLES = {0x0100, 0x0101, ORIENTATION}
"""ImageWidth, ImageLength and Orientation: they are wrong once the picture is upright and larger."""
_OF_THE_SAMPLES_IN_EXIF = {0xA002, 0xA003}


@dataclass(frozen=True)
class Entry:
    """An entry of a directory: its offset, and that of its value."""

    tag: int
    kind: int
    count: int
    place: int
    value: int

    @property
    def size(self) -> int:
        return SIZES.get(self.kind, 0) * self.count


@dataclass(frozen=True)
class CleanExif:
    """EXIF that agrees with an upright picture of any size.

    Attributes:
        content: a TIFF structure, without the prefix `Exif\\0\\0`; None if nothing is left.
        orientation: of the picture's EXIF, 1 to 8.
        notes: what was removed because it is broken.
    """

    content: bytes | None
    orientation: int = 1
    notes: tuple[str, ...] = ()


def clean(content: bytes) -> CleanExif:
    """EXIF without the entries that describe the samples, broken entries and the thumbnail."""
    blob = bytearray(content.removeprefix(b"Exif\0\0"))
    if bytes(blob[:4]) not in (b"II*\0", b"MM\0*"):
        return CleanExif(None, notes=("its EXIF is broken and was left out",))
    order = order_of(blob)
    (first,) = struct.unpack_from(order + "I", blob, 4) if len(blob) >= 8 else (0,)
    if not _is_directory(blob, order, first):
        return CleanExif(None, notes=("its EXIF is broken and was left out",))
    orientation = _orientation(blob, order, first)
    _drop_thumbnail(blob, order, first)
    entries = list(read_entries(blob, order, first))
    notes, lost = [], set()
    for entry in entries:
        if entry.tag not in (EXIF_IFD, GPS_IFD):
            continue
        nested = _value(blob, order, entry)
        if nested is not None and nested != first and _is_directory(blob, order, nested):
            notes += _remove(blob, order, nested, _OF_THE_SAMPLES_IN_EXIF)
        else:
            lost.add(entry.tag)
            notes.append(f"its EXIF directory 0x{entry.tag:04X} is broken and was left out")
    notes += _remove(blob, order, first, _OF_THE_SAMPLES | lost)
    left = any(True for _ in read_entries(blob, order, first))
    return CleanExif(bytes(blob) if left else None, orientation, tuple(notes))


def order_of(blob: bytes | bytearray) -> str:
    """The byte order of a TIFF structure as `struct` names it."""
    return "<" if blob[:2] == b"II" else ">"


def read_entries(blob: bytes | bytearray, order: str, start: int) -> Iterator[Entry]:
    """Entries of the directory at `start`, which has been checked to lie inside."""
    (count,) = struct.unpack_from(order + "H", blob, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number, value = struct.unpack_from(order + "HHII", blob, place)
        inside = SIZES.get(kind, 0) * number <= 4
        yield Entry(tag, kind, number, place, place + 8 if inside else value)


def _is_directory(blob: bytearray, order: str, start: int) -> bool:
    if start < 8 or start + 2 > len(blob):
        return False
    (count,) = struct.unpack_from(order + "H", blob, start)
    return bool(start + 2 + 12 * count <= len(blob))


def _value(blob: bytearray, order: str, entry: Entry) -> int | None:
    """The value of an entry that holds one whole number."""
    if entry.count != 1 or entry.kind not in (3, 4, 13):
        return None
    (value,) = struct.unpack_from(order + ("H" if entry.kind == _SHORT else "I"), blob, entry.place + 8)
    return int(value)


def _orientation(blob: bytearray, order: str, start: int) -> int:
    for entry in read_entries(blob, order, start):
        if entry.tag == ORIENTATION:
            value = _value(blob, order, entry)
            return value if value is not None and 1 <= value <= 8 else 1
    return 1


def _remove(blob: bytearray, order: str, start: int, tags: set[int]) -> list[str]:
    """Remove entries of a directory in place: those of `tags`, and broken ones, for which there are notes."""
    notes, kept = [], []
    entries = list(read_entries(blob, order, start))
    for entry in entries:
        if entry.tag in tags:
            continue
        if _is_broken(blob, entry):
            notes.append(f"its EXIF entry {_MEASURES.get(entry.tag, f'0x{entry.tag:04X}')} is broken and was left out")
            continue
        kept.append(bytes(blob[entry.place : entry.place + 12]))
    end = start + 2 + 12 * len(entries)
    following = bytes(blob[end : end + 4]).ljust(4, b"\0") if start else b""
    struct.pack_into(order + "H", blob, start, len(kept))
    body = b"".join(kept) + following[: len(blob) - end]
    blob[start + 2 : start + 2 + len(body)] = body
    return notes


def _is_broken(blob: bytearray, entry: Entry) -> bool:
    if entry.kind not in SIZES or entry.value + entry.size > len(blob):
        return True
    return entry.tag in _MEASURES and (entry.kind not in _NUMBERS or entry.count < 1)


def _drop_thumbnail(blob: bytearray, order: str, start: int) -> None:
    """Remove the thumbnail, which shows the old picture: truncate its bytes if they are the last, else zero them."""
    (count,) = struct.unpack_from(order + "H", blob, start)
    link = start + 2 + 12 * count
    if link + 4 > len(blob):
        return
    (second,) = struct.unpack_from(order + "I", blob, link)
    struct.pack_into("I", blob, link, 0)
    if not second or not _is_directory(blob, order, second):
        return
    values = {entry.tag: _value(blob, order, entry) for entry in read_entries(blob, order, second)}
    begin, length = values.get(_THUMBNAIL_START), values.get(_THUMBNAIL_LENGTH)
    if not begin or not length or blob[begin : begin + 2] != b"\xff\xd8" or begin + length > len(blob):
        return
    if begin < _end(blob, order, start):
        return  # in a damaged file: other values lie behind it
    if begin + length >= len(blob) - 1 and begin > second:
        del blob[begin:]
    else:
        blob[begin : begin + length] = bytes(length)


def _end(blob: bytearray, order: str, start: int) -> int:
    """End offset of a directory, its subdirectories, and all of their values."""
    entries = list(read_entries(blob, order, start))
    ends = [start + 6 + 12 * len(entries), *(entry.value + entry.size for entry in entries)]
    for entry in entries:
        nested = _value(blob, order, entry) if entry.tag in (EXIF_IFD, GPS_IFD) else None
        if nested is not None and nested != start and _is_directory(blob, order, nested):
            inner = list(read_entries(blob, order, nested))
            ends += [nested + 6 + 12 * len(inner), *(item.value + item.size for item in inner)]
    return max(ends)
