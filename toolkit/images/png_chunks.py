"""Chunks of PNG files: metadata for which Pillow would refuse the picture is removed, with a note."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from toolkit.images.picture import Cicp

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_LENGTHS = {b"gAMA": 4, b"cHRM": 32, b"pHYs": 9, b"sRGB": 1, b"cICP": 4, b"tIME": 7}
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_LARGEST_TEXT = 1 << 20
"""Limit of an uncompressed text in bytes, as in Pillow and other readers."""
_LARGEST_TEXTS = 64 << 20
_LARGEST_PROFILE = 64 << 20


@dataclass(frozen=True)
class _Chunk:
    kind: bytes
    place: int
    length: int


@dataclass(frozen=True)
class PngHeader:
    """Properties of a PNG file.

    Attributes:
        depth: bits per sample.
        colour: whether the file has 16 bits per sample and several channels, for which Pillow has no mode.
        cicp: of the chunk cICP.
        pictures: number of pictures of its animation; only the still picture is read.
        notes: chunks that were removed.
    """

    depth: int
    colour: bool
    cicp: Cicp | None
    pictures: int = 1
    notes: tuple[str, ...] = ()


def open_png(path: Path) -> tuple[IO[bytes], PngHeader]:
    """A PNG file without metadata that is broken or too large; the caller closes it.

    Raises:
        OSError: the file ends before its samples.
    """
    file = path.open("rb")
    try:
        chunks = list(_chunks(file))
        if not chunks or chunks[0].kind != b"IHDR" or chunks[0].length < 13:
            raise OSError("its first chunk is not IHDR")
        depth, colour_type = _content(file, chunks[0])[8:10]
        refused = {chunk: "" for chunk in chunks if chunk.kind in _ANIMATION}
        texts = 0
        for chunk in chunks:
            reason, size = _reason(file, chunk, _LARGEST_TEXTS - texts)
            texts += size
            if reason:
                refused[chunk] = reason
        cicp = next(
            (_cicp(_content(file, chunk)) for chunk in chunks if chunk.kind == b"cICP" and chunk not in refused), None
        )
        notes = tuple(dict.fromkeys(filter(None, refused.values())))
        header = PngHeader(depth, depth == 16 and colour_type != 0, cicp, _pictures(file, chunks), notes)
        file.seek(0)
        if not refused:
            return file, header
        cleaned = BytesIO(_without(file, chunks, set(refused)))
    except BaseException:
        file.close()
        raise
    file.close()
    return cleaned, header


def _pictures(file: IO[bytes], chunks: list[_Chunk]) -> int:
    """Number of pictures of an animation (APNG), at least 1."""
    control = next((chunk for chunk in chunks if chunk.kind == b"acTL" and chunk.length >= 4), None)
    return 1 if control is None else max(1, int.from_bytes(_content(file, control)[:4], "big"))


def _cicp(content: bytes) -> Cicp:
    primaries, transfer, matrix, full = content
    return Cicp(primaries, transfer, matrix, bool(full))


def _chunks(file: IO[bytes]) -> Iterator[_Chunk]:
    file.seek(0, 2)
    end = file.tell()
    place = len(SIGNATURE)
    while place + 12 <= end:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        if place + 12 + length > end:
            return
        yield _Chunk(kind, place, length)
        if kind == b"IEND":
            return
        place += 12 + length


def _content(file: IO[bytes], chunk: _Chunk) -> bytes:
    file.seek(chunk.place + 8)
    return file.read(chunk.length)


def _reason(file: IO[bytes], chunk: _Chunk, room: int) -> tuple[str, int]:
    """Why a chunk of metadata must be removed, or an empty string; and its bytes of text."""
    if chunk.kind not in (*_TEXT, *_LENGTHS, b"eXIf", b"iCCP"):
        return "", 0
    name = chunk.kind.decode("ascii")
    file.seek(chunk.place + 4)
    checked = file.read(chunk.length + 4)
    (wanted,) = struct.unpack(">I", file.read(4))
    if zlib.crc32(checked) != wanted:
        return f"its {name} chunk is damaged and was left out", 0
    content = checked[4:]
    if len(content) < _LENGTHS.get(chunk.kind, 0):
        return f"its {name} chunk is cut off and was left out", 0
    if chunk.kind == b"iCCP":
        packed = content.partition(b"\0")[2][1:]
        broken = _unpacked_size(packed, _LARGEST_PROFILE) is None
        return ("its colour profile cannot be unpacked and was left out" if broken else ""), 0
    if chunk.kind in _TEXT:
        return _text_reason(chunk.kind, content, room)
    return "", 0


def _text_reason(kind: bytes, content: bytes, room: int) -> tuple[str, int]:
    key, separated, rest = content.partition(b"\0")
    name = f"its text {key[:79].decode('latin-1')!r}"
    if not key or not separated:
        return "a text chunk of it is broken and was left out", 0
    size: int | None = len(rest)
    if kind == b"zTXt":
        size = _unpacked_size(rest[1:], _LARGEST_TEXT)
    elif kind == b"iTXt":
        parts = rest[2:].split(b"\0", 2)
        if len(rest) < 2 or len(parts) < 3:
            return f"{name} is broken and was left out", 0
        size = _unpacked_size(parts[2], _LARGEST_TEXT) if rest[0] else len(parts[2])
    if size is None:
        return f"{name} cannot be unpacked and was left out", 0
    if size > _LARGEST_TEXT or size > room:
        return f"{name} is larger than 1 MiB, which common programs refuse, and was left out", 0
    return "", size


def _unpacked_size(packed: bytes, most: int) -> int | None:
    """Uncompressed size of a zlib stream, `most` + 1 if it is larger; None if it is damaged."""
    try:
        return len(zlib.decompressobj().decompress(packed, most + 1))
    except zlib.error:
        return None


def _without(file: IO[bytes], chunks: list[_Chunk], refused: set[_Chunk]) -> bytes:
    """The file's bytes without the refused chunks."""
    file.seek(0)
    content = file.read()
    parts, start = [], 0
    for chunk in chunks:
        if chunk in refused:
            parts.append(content[start : chunk.place])
            start = chunk.place + 12 + chunk.length
    return b"".join([*parts, content[start:]])
