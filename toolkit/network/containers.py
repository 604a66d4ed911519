"""File formats of pickled tensors: PyTorch's zip archives and streams, and plain pickles.

What a file may unpack to is bounded by its size before anything is unpacked.
"""

from __future__ import annotations

import io
import itertools
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from toolkit.network.pickles import DamagedPickle, Unpickler
from toolkit.network.storages import Storage, Storages

_INDEX_ENTRY = b"PK\x01\x02"
_MOST_RECORDS = 100_000
_SMALL = 64 << 20
"""Bytes that a compressed archive may unpack to, however small the archive is."""
_MAGIC = 0x1950A86A20F9469CFC6C
"""First value in a file of `torch.save(..., _use_new_zipfile_serialization=False)`."""
_HARMLESS = (
    *("numpy.core.multiarray.", "numpy._core.multiarray.", "numpy.dtype", "numpy.ndarray"),
    *("numpy.float", "numpy.int", "numpy.bool"),
)
"""Prefixes of names of NumPy's numbers and arrays, which training code saves beside tensors. They are ignored; other
objects are reported."""


class NotACheckpoint(Exception):
    """A valid archive of another kind. `remedy` says what to do with it."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy


@dataclass(frozen=True)
class Unpickled:
    """What a file holds.

    Attributes:
        content: mappings, lists, plain values and tensors.
        foreign: names of what was not plain: it would have been called, and is left out.
        script: whether it is a TorchScript archive, whose modules are mappings here.
    """

    content: Any
    foreign: tuple[str, ...]
    script: bool = False


def read_archive(path: Path) -> Unpickled:
    """A zip archive of `torch.save` or `torch.jit.save`.

    Raises:
        DamagedPickle: damaged, or it unpacks to far more than the file holds.
        NotACheckpoint: an archive of another kind.
    """
    with _zip_errors(), path.open("rb") as stream:
        _check_index(stream)
        with zipfile.ZipFile(stream) as archive:
            return _Archive(archive, path.stat().st_size).read()


def read_stream(content: bytes) -> Unpickled:
    """A file of `torch.save` before its version 1.6, or of `pickle.dump`.

    Raises:
        DamagedPickle: damaged.
    """
    stream = io.BytesIO(content)
    if _begins_with_magic(content):
        return _read_legacy(stream)
    inner = _Nested()
    storages = Storages(nested=inner.storage)
    loaded, foreign = _load(stream, storages)
    storages.check_sharing()
    return Unpickled(loaded, foreign)


class _Archive:
    """Records of a zip archive below the directory that all of them share."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive, self._left = archive, max(size, _SMALL)
        self._infos = {info.filename: info for info in archive.infolist()}
        found = [name for name in self._infos if name.endswith("/data.pkl") and name.count("/") == 1]
        self._root = found[0].removesuffix("data.pkl") if found else ""

    def read(self) -> Unpickled:
        if not self._root:
            raise NotACheckpoint(*_other_archive(self._infos))
        if f"{self._root}byteorder" in self._infos and self._record("byteorder") != b"little":
            raise NotACheckpoint("a checkpoint of a big-endian machine", "Save it again on another machine.")
        program, claims = io.BytesIO(self._record("data.pkl")), Storages()
        _, foreign = _load(program, claims)
        claims.check_sharing()
        for key, size in claims.claimed.items():
            if self._info(f"data/{key}").file_size != size:
                raise DamagedPickle(f"record data/{key} has {self._info(f'data/{key}').file_size} bytes, not {size}")
        program.seek(0)
        content, _ = _load(program, Storages(self._storage))
        return Unpickled(content, foreign, f"{self._root}constants.pkl" in self._infos)

    def _info(self, name: str) -> zipfile.ZipInfo:
        if self._root + name not in self._infos:
            raise DamagedPickle(f"record {name} is missing")
        return self._infos[self._root + name]

    def _record(self, name: str) -> bytes:
        return bytes(self._storage(name, ""))

    def _storage(self, key: str, directory: str = "data/") -> bytearray:
        info = self._info(directory + key)
        self._left -= info.file_size
        if self._left < 0:
            raise DamagedPickle(
                "its records unpack to many times its size, which records that torch.save wrote never do"
            )
        data = bytearray(info.file_size)
        with cast(io.BufferedIOBase, self._archive.open(info)) as record:
            filled = 0
            while count := record.readinto(memoryview(data)[filled:]):
                filled += count
        if filled != len(data):
            raise DamagedPickle(f"record {directory}{key} is cut off")
        return data


class _Nested:
    """Storages inside a plain pickle. Each is read once, even if the pickle refers to it several times."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Any, Storage]] = {}

    def storage(self, arguments: tuple[Any, ...]) -> Storage:
        (given,) = arguments
        if id(given) not in self._read:
            content = given.encode("latin1") if isinstance(given, str) else bytes(given)
            found = read_stream(content).content
            if not isinstance(found, Storage):
                raise DamagedPickle("a tensor has no storage")
            self._read[id(given)] = given, found  # keeps `given` alive: a new object could otherwise get its id
        return self._read[id(given)][1]


def _begins_with_magic(content: bytes) -> bool:
    try:
        opcodes = itertools.islice(pickletools.genops(io.BytesIO(content)), 4)
        return any(argument == _MAGIC for _, argument, _ in opcodes)
    except ValueError as error:
        raise DamagedPickle(str(error)) from error


def _read_legacy(stream: io.BytesIO) -> Unpickled:
    for _ in ("magic number", "protocol", "system"):
        _load(stream, Storages())
    begin, claims = stream.tell(), Storages()
    _, foreign = _load(stream, claims)
    claims.check_sharing()
    keys, _ = _load(stream, Storages())
    data: dict[str, bytearray] = {}
    for key in keys if isinstance(keys, list) else ():
        size, header = claims.claimed.get(key) if isinstance(key, str) else None, stream.read(8)
        if size is None or len(header) < 8:
            raise DamagedPickle("its list of storages does not fit its tensors")
        data[key] = bytearray(stream.read(size))
    if missing := claims.claimed.keys() - data.keys():
        raise DamagedPickle(f"storage {min(missing)} is missing")
    stream.seek(begin)
    content, _ = _load(stream, Storages(data.__getitem__))
    return Unpickled(content, foreign)


def _load(stream: io.BytesIO, storages: Storages) -> tuple[Any, tuple[str, ...]]:
    machine = Unpickler(storages.calls(), storages.resolve, _HARMLESS)
    return machine.load(stream), machine.foreign


def _check_index(stream: io.BufferedReader) -> None:
    """Raise DamagedPickle if the archive has more records than any checkpoint, before they are read into memory."""
    entries, tail = 0, b""
    while chunk := stream.read(1 << 20):
        entries += (tail + chunk).count(_INDEX_ENTRY)
        tail = chunk[-len(_INDEX_ENTRY) + 1 :]
        if entries > _MOST_RECORDS:
            raise DamagedPickle(f"it has more than {_MOST_RECORDS} records")
    stream.seek(0)


@contextmanager
def _zip_errors() -> Iterator[None]:
    """What `zipfile` raises for archives that are damaged, encrypted, or compressed in an unknown way."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, LookupError) as error:
        raise DamagedPickle(str(error) or type(error).__name__) from error
    except (NotImplementedError, RuntimeError) as error:
        raise NotACheckpoint(f"a zip archive that cannot be unpacked ({error})") from error


def _other_archive(infos: dict[str, zipfile.ZipInfo]) -> tuple[str, str]:
    """What a zip archive without a pickle is, and what to do."""
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in infos):
        return (
            "a program of torch.export",
            "Save its weights: torch.save(torch.export.load(file).state_dict(), 'weights.pth').",
        )
    return "a zip archive, but not a PyTorch checkpoint", ""
