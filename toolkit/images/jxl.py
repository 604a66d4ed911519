"""The size of a JPEG XL picture from its header, before anything is decoded (ISO/IEC 18181-1, D.2)."""

from __future__ import annotations

from toolkit.images.boxes import read_boxes

_CODESTREAM = b"\xff\x0a"
_SIDE_BITS = (9, 13, 18, 30)
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, by the numbers 1 to 7."""


def jxl_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in the header, before rotation; None if there is no header."""
    start = 0
    if not data.startswith(_CODESTREAM):
        for kind, begin, _ in read_boxes(data):
            if kind in (b"jxlc", b"jxlp"):
                start = begin + (4 if kind == b"jxlp" else 0)
                break
    if data[start : start + 2] != _CODESTREAM or len(data) < start + 12:
        return None
    bits = _Bits(int.from_bytes(data[start + 2 : start + 12], "little"))
    small = bits.take(1) == 1
    height = _side(bits, small=small)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return _side(bits, small=small), height


class _Bits:
    """Reader of bits, least significant first."""

    def __init__(self, value: int) -> None:
        self._value = value

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken


def _side(bits: _Bits, *, small: bool) -> int:
    if small:
        return 8 * (1 + bits.take(5))
    return 1 + bits.take(_SIDE_BITS[bits.take(2)])
