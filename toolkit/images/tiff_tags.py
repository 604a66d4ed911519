"""Reads the tags of TIFF and BigTIFF files as bytes; only values that are needed are decoded (TIFF 6.0, section 2)."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from toolkit.images.exif import EXIF_IFD, GPS_IFD, SIZES

_SIZES = SIZES | {16: 8, 17: 8, 18: 8}
"""Bytes of one value, by the type's number, including the 64-bit types of BigTIFF."""
_MOST_BYTES = 64 << 20
"""Size limit of one tag."""
_MOST_ENTRIES = 4096
_SAMPLES = frozenset({273, 279, 324, 325})
"""Offsets and lengths of strips and tiles. They may be long, and are not needed here."""
ORIENTATION, ICC, XMP = 274, 34675, 700
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _FORMAT = 256, 257, 258, 262, 339
_X_RESOLUTION, _Y_RESOLUTION, _UNIT = 282, 283, 296
_INTEROPERABILITY = 0xA005
_PER_INCH = {2: 1.0, 3: 2.54}
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)
"""ImageDescription, Make, Model, Software, DateTime, Artist, Copyright."""


@dataclass(frozen=True)
class Tag:
    """Values of a tag as stored in the file.

    Attributes:
        kind: number of their type.
        count: number of values.
        content: their bytes.
        place: their offset in the file.
    """

    kind: int
    count: int
    content: bytes
    place: int = 0


@dataclass(frozen=True)
class TiffTags:
    """The tags of a TIFF file's first picture.

    Attributes:
        order: byte order as `struct` names it.
        tags: by number.
        nested: tags of the EXIF and GPS directories, by the tag that points to the directory.
        notes: broken tags that were left out.
    """

    order: str
    tags: Mapping[int, Tag]
    nested: Mapping[int, Mapping[int, Tag]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def numbers(self, tag: int) -> tuple[int, ...]:
        """The integers of a tag; empty if the tag is missing or has another type."""
        found = self.tags.get(tag)
        code = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(found.kind) if found else None
        if found is None or code is None:
            return ()
        return struct.unpack(f"{self.order}{found.count}{code}", found.content)

    def number(self, tag: int, default: int) -> int:
        """The first integer of a tag, or `default`."""
        return (*self.numbers(tag), default)[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, before the orientation is applied."""
        return self.number(_WIDTH, 0), self.number(_HEIGHT, 0)

    @property
    def depth(self) -> int:
        """Bits per sample; the maximum if channels differ."""
        return max(self.numbers(_BITS), default=1)

    @property
    def floating(self) -> bool:
        """Whether samples are floating-point numbers."""
        return 3 in self.numbers(_FORMAT)

    @property
    def orientation(self) -> int:
        value = self.number(ORIENTATION, 1)
        return value if 1 <= value <= 8 else 1

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Pixels per inch, horizontally and vertically; None unless both are given with a unit."""
        factor = _PER_INCH.get(self.number(_UNIT, 2))
        values = []
        for tag in (_X_RESOLUTION, _Y_RESOLUTION):
            found = self.tags.get(tag)
            if factor is None or found is None or found.kind != 5 or found.count != 1:
                return None
            above, below = struct.unpack(self.order + "II", found.content)
            if not above or not below:
                return None
            values.append(above / below * factor)
        return values[0], values[1]

    def content(self, tag: int) -> bytes | None:
        found = self.tags.get(tag)
        return found.content if found and found.count else None

    def exif(self) -> bytes | None:
        """Descriptive tags, EXIF and GPS as a separate TIFF structure; without tags about the layout of samples."""
        kept = _classic({tag: self.tags[tag] for tag in _DESCRIPTIVE if tag in self.tags})
        nested = {tag: _classic(inner) for tag, inner in self.nested.items()}
        return _packed(self.order, kept, nested) if kept or any(nested.values()) else None


def _classic(tags: Mapping[int, Tag]) -> dict[int, Tag]:
    """Tags of types that EXIF supports, without pointers into the file."""
    return {number: tag for number, tag in tags.items() if tag.kind <= 13 and number != _INTEROPERABILITY}


def without_orientation(path: Path, tags: TiffTags) -> BytesIO:
    """The file with its orientation set to 1. Pillow rotates only some kinds of TIFF, so the caller rotates all."""
    content = bytearray(path.read_bytes())
    found = tags.tags[ORIENTATION]  # exists: without it, the orientation would be 1 already
    content[found.place : found.place + len(found.content)] = struct.pack(tags.order + "H", 1).ljust(
        len(found.content), b"\0"
    )
    return BytesIO(content)


def is_tiff(head: bytes) -> bool:
    """Whether `head` is the beginning of a TIFF or BigTIFF file."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tags(path: Path) -> TiffTags:
    """The tags of a TIFF's first directory.

    Raises:
        OSError: it has no directory.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        order, big = ("<" if data[:2] == b"II" else ">"), data[2:4] in (b"+\0", b"\0+")
        if len(data) < (16 if big else 8):
            raise OSError("the file is truncated")
        start = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        tags, notes = _directory(data, order, start, big=big)
        if not tags:
            raise OSError("its tag directory is corrupt")
        found = TiffTags(order, tags)
        nested = {}
        for tag in (EXIF_IFD, GPS_IFD):
            if place := found.number(tag, 0):
                nested[tag], broken = _directory(data, order, place, big=big)
                notes += broken
        return TiffTags(order, tags, nested, tuple(dict.fromkeys(notes)))


def _directory(data: mmap.mmap, order: str, start: int, *, big: bool) -> tuple[dict[int, Tag], list[str]]:
    head, entry, inline = ("Q", "HHQQ", 8) if big else ("H", "HHII", 4)
    step, first = struct.calcsize("<" + entry), start + struct.calcsize("<" + head)
    if start < 8 or first > len(data):
        return {}, ["one of its tag directories is broken and was left out"]
    (count,) = struct.unpack_from(order + head, data, start)
    tags: dict[int, Tag] = {}
    notes = []
    for place in range(first, min(first + step * min(count, _MOST_ENTRIES), len(data) - step + 1), step):
        tag, kind, number, value = struct.unpack_from(order + entry, data, place)
        size = _SIZES.get(kind, 0) * number
        if tag in _SAMPLES:
            continue
        at = place + step - inline if size <= inline else value
        if kind not in _SIZES or at + size > len(data) or size > _MOST_BYTES:
            notes.append(f"its tag {tag} is broken and was left out")
            continue
        tags[tag] = Tag(kind, number, data[at : at + size], at)
    return tags, notes


def _packed(order: str, tags: Mapping[int, Tag], nested: Mapping[int, Mapping[int, Tag]]) -> bytes:
    """Tags as a TIFF structure: each directory follows the one that points to it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    links = {tag: inner for tag, inner in nested.items() if inner}
    placeholders = {tag: Tag(4, 1, bytes(4)) for tag in links}
    place = 8 + len(_packed_directory(order, {**tags, **placeholders}, 8))
    following = []
    for tag, inner in links.items():
        placeholders[tag] = Tag(4, 1, struct.pack(order + "I", place))
        following.append(_packed_directory(order, inner, place))
        place += len(following[-1])
    return head + _packed_directory(order, {**tags, **placeholders}, 8) + b"".join(following)


def _packed_directory(order: str, tags: Mapping[int, Tag], start: int) -> bytes:
    room = start + 2 + 12 * len(tags) + 4
    entries, values = [], b""
    for number in sorted(tags):
        tag = tags[number]
        if len(tag.content) <= 4:
            content = tag.content.ljust(4, b"\0")
        else:
            content = struct.pack(order + "I", room + len(values))
            values += tag.content + b"\0" * (len(tag.content) % 2)
        entries.append(struct.pack(order + "HHI", number, tag.kind, tag.count) + content)
    return struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4) + values
