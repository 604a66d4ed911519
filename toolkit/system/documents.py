"""Reading JSON, MessagePack and TOML of unknown origin: whatever is wrong with a document is one kind of error."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_LARGEST_TOML = 1 << 16
"""Bytes. Python's parser needs time that grows with the square of a dotted key's length."""


class MalformedDocument(ValueError):
    """Not valid, not of the expected type, nested too deeply, or too large."""


def from_json(content: bytes | str, kind: type[T]) -> T:
    """A JSON document as a value of type `kind`.

    Raises:
        MalformedDocument: see there.
    """
    return _decoded(lambda: msgspec.json.decode(content, type=kind))


def from_msgpack(content: bytes, kind: type[T]) -> T:
    """A MessagePack document as a value of type `kind`.

    Raises:
        MalformedDocument: see there.
    """
    return _decoded(lambda: msgspec.msgpack.decode(content, type=kind))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        MalformedDocument: see there.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(_LARGEST_TOML + 1)
    if len(content) > _LARGEST_TOML:
        raise MalformedDocument(f"it has more than {_LARGEST_TOML} bytes")
    return _decoded(lambda: tomllib.loads(content.decode("utf-8-sig")))


def _decoded(decode: Callable[[], T]) -> T:
    try:
        return decode()
    except RecursionError as error:
        raise MalformedDocument("it is nested too deeply") from error
    except ValueError as error:  # msgspec's and tomllib's errors, invalid UTF-8, numbers with too many digits
        raise MalformedDocument(str(error)) from error
