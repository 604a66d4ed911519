"""Boxes of AVIF, HEIF and JPEG XL files (ISO/IEC 14496-12 and 23008-12): depth, colour and further images."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.images.picture import Cicp

_GAIN_MAPS = (b"urn:com:apple:photo:2020:aux:hdrgainmap", b"tmap")


@dataclass(frozen=True)
class ImageProperties:
    """Properties of a file's primary image.

    Attributes:
        depth: bits per sample; 8 if the file does not specify it.
        cicp: colour by code points, from the box `colr` of type `nclx`.
        gain_map: whether the file also contains an HDR gain map.
        video: whether it also contains the video of a motion photo.
    """

    depth: int = 8
    cicp: Cicp | None = None
    gain_map: bool = False
    video: bool = False


def read_boxes(data: bytes, start: int = 0, stop: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of the boxes between two offsets; stops at a damaged box."""
    stop = len(data) if stop is None else stop
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1 and start + 16 <= stop:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            header = 16
        end = stop if size == 0 else start + size
        if size != 0 and (size < header or end > stop):
            return
        yield kind, start + header, end
        start = end


def read_properties(data: bytes) -> ImageProperties:
    """Properties of the primary image of an AVIF or HEIF file."""
    meta = _child(data, b"meta", 0, len(data))
    if meta is None:
        return ImageProperties()
    start, stop = meta[0] + 4, meta[1]
    container = _child(data, b"iprp", start, stop)
    listed = None if container is None else _child(data, b"ipco", *container)
    if container is None or listed is None:
        return ImageProperties()
    properties = list(read_boxes(data, *listed))
    wanted = _of_primary(data, (start, stop), container)
    depth, cicp = 8, None
    for number, (kind, begin, end) in enumerate(properties, 1):
        if wanted and number not in wanted:
            continue
        content = data[begin:end]
        if kind == b"pixi" and len(content) >= 6:
            depth = content[5]
        elif kind == b"av1C" and len(content) >= 3:
            depth = 12 if content[2] & 0x20 else 10 if content[2] & 0x40 else 8
        elif kind == b"colr" and content[:4] == b"nclx" and len(content) >= 11:
            primaries, transfer, matrix, full = struct.unpack_from(">HHHB", content, 4)
            cicp = Cicp(primaries, transfer, matrix, bool(full & 0x80))
    video = _child(data, b"mpvd", 0, len(data)) is not None
    return ImageProperties(depth, cicp, any(name in data[meta[0] : stop] for name in _GAIN_MAPS), video)


def without_exif(data: bytes) -> bytes | None:
    """An AVIF or HEIF file whose EXIF item has an unknown type, so that readers ignore it; None if it has no EXIF."""
    meta = _child(data, b"meta", 0, len(data))
    items = None if meta is None else _child(data, b"iinf", meta[0] + 4, meta[1])
    if items is None or items[0] + 4 > len(data):
        return None
    made = bytearray(data)
    for kind, begin, end in read_boxes(data, items[0] + (6 if data[items[0]] == 0 else 8), items[1]):
        place = data.find(b"Exif", begin, min(begin + 12 + 4, end))
        if kind == b"infe" and place > 0:
            made[place : place + 4] = b"skip"
    return None if made == data else bytes(made)


def nclx_place(data: bytes) -> int:
    """Offset of the primaries in the first box `colr` of type `nclx`.

    Raises:
        ValueError: there is none.
    """
    place: tuple[int, int] | None = (0, len(data))
    for name, skipped in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
        place = None if place is None else _child(data, name, *place)
        if place is not None:
            place = place[0] + skipped, place[1]
    if place is not None:
        for kind, begin, _ in read_boxes(data, *place):
            if kind == b"colr" and data[begin : begin + 4] == b"nclx":
                return begin + 4
    raise ValueError("the file has no box colr of type nclx")


def _child(data: bytes, name: bytes, start: int, stop: int) -> tuple[int, int] | None:
    return next(((begin, end) for kind, begin, end in read_boxes(data, start, stop) if kind == name), None)


def _of_primary(data: bytes, meta: tuple[int, int], container: tuple[int, int]) -> frozenset[int]:
    """Numbers of the properties of the primary item; empty if the file does not specify them."""
    primary, associations = _child(data, b"pitm", *meta), _child(data, b"ipma", *container)
    if primary is None or associations is None:
        return frozenset()
    try:
        wanted = _number(data, primary[0] + 4, 2 if data[primary[0]] == 0 else 4)
        version, wide = data[associations[0]], bool(data[associations[0] + 3] & 1)
        place = associations[0] + 8
        for _ in range(_number(data, associations[0] + 4, 4)):
            item = _number(data, place, 2 if version < 1 else 4)
            place += 2 if version < 1 else 4
            count = data[place]
            step = 2 if wide else 1
            numbers = [_number(data, place + 1 + step * index, step) for index in range(count)]
            place += 1 + step * count
            if item == wanted:
                return frozenset(number & (0x7FFF if wide else 0x7F) for number in numbers)
    except IndexError:
        return frozenset()
    return frozenset()


def _number(data: bytes, place: int, size: int) -> int:
    if place + size > len(data):
        raise IndexError(place)
    return int.from_bytes(data[place : place + size], "big")
