"""Libraries for formats that Pillow does not decode, and the exceptions that decoders raise for damaged files."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from toolkit.errors import Unavailable
from toolkit.system.extras import how_to_install

DECODER_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    SystemError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""Exceptions for damaged files: Pillow, tifffile and imagecodecs compute with numbers of a file without checks."""

HEIF_SUFFIXES = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
JXL_SUFFIXES = frozenset({".jxl"})
PLUGIN_SUFFIXES = HEIF_SUFFIXES | JXL_SUFFIXES
"""Suffixes of formats that Pillow reads with plugins."""

NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
"""Formats that Pillow recognises, but does not decode by itself."""
CAMERA_RAW = frozenset(
    {
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2"),
        *(".srw", ".x3f"),
    }
)
"""Suffixes of camera raw files, which must be developed first: for some, Pillow reads a small preview."""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_REMEDY = how_to_install("images")


def required(module: str, path: Path, purpose: str) -> Any:
    """A module of the extra `images`.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise Unavailable(f"cannot read {path}: {purpose} needs {module}, which is not installed", _REMEDY) from error


@cache
def _register(module: str) -> None:
    plugin = import_module(module)
    if module == "pillow_heif":
        plugin.register_heif_opener()


def register_plugin(path: Path, head: bytes) -> None:
    """Make Pillow read the format of a file that begins with `head`.

    Raises:
        Unavailable: the plugin is not installed.
    """
    module, name = ("pillow_heif", "HEIF") if is_heif(head) else ("pillow_jxl", "JPEG XL")
    try:
        _register(module)
    except ImportError as error:
        raise Unavailable(f"cannot read {path}: {name} needs {module}, which is not installed", _REMEDY) from error


def _brands(head: bytes) -> tuple[bytes, ...]:
    if head[4:8] != b"ftyp":
        return ()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return (head[8:12], *(head[place : place + 4] for place in range(16, size - 3, 4)))


def is_avif(head: bytes) -> bool:
    """Whether `head` is the beginning of an AVIF file."""
    return any(brand in _AVIF_BRANDS for brand in _brands(head))


def is_heif(head: bytes) -> bool:
    """Whether `head` is the beginning of a HEIF file whose pictures are not AV1."""
    return _brands(head)[:1] != () and _brands(head)[0] in _HEIF_BRANDS and not is_avif(head)


def is_jxl(head: bytes) -> bool:
    """Whether `head` is the beginning of a JPEG XL file."""
    return head[:2] == b"\xff\x0a" or head[:12] == b"\0\0\0\x0cJXL \r\n\x87\n"
