"""A folder of photographs, decoded once into a cache of arrays from which single patches can be read."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError, described
from toolkit.images import find_images
from toolkit.system.atomic import write_bytes
from toolkit.system.cache import cache_directory
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.training.reading import CONVERSION, read_photo

"""Told what is being done, the share done, and the seconds left or None."""

_MOST = 10_000_000
_NAMED = 5


@dataclass(frozen=True)
class Photo:
    """A photograph in the cache: an array uint8 (height, width, 3) in a .npy file."""

    name: str
    array: Path
    height: int
    width: int

    def pixels(self) -> NDArray[np.uint8]:
        """The array, memory-mapped: only the parts that are used are read from disk."""
        mapped: NDArray[np.uint8] = np.load(self.array, mmap_mode="r")
        return mapped


@dataclass(frozen=True)
class Photos:
    """All usable photographs of a folder, by name.

    Attributes:
        photos: in the order of their names.
        skipped: why the others are not used, by name.
    """

    photos: tuple[Photo, ...]
    skipped: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Hash of all names and sizes, on which batches depend. The same photographs in another folder have the same
        one."""
        listed = "".join(f"{photo.name}\0{photo.height}x{photo.width}\0" for photo in self.photos)
        return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()

    def notes(self) -> tuple[str, ...]:
        """One sentence on what was skipped, if anything was."""
        if not self.skipped:
            return ()
        total = len(self.photos) + len(self.skipped)
        shown = [f"{name} ({reason})" for name, reason in list(self.skipped.items())[:_NAMED]]
        more = f", and {len(self.skipped) - _NAMED} more" if len(self.skipped) > _NAMED else ""
        return (f"skipped {len(self.skipped)} of {total} photographs: {', '.join(shown)}{more}",)


def default_cache() -> Path:
    """The default directory for decoded photographs, in the user's cache directory."""
    return cache_directory() / "photos"


def index_photos(
    directory: Path,
    cache: Path,
    smallest: int,
    threads: int = 1,
    progress: ProgressCallback = no_progress,
) -> Photos:
    """Decode all photographs of a folder that are not in the cache yet.

    The cache has a file for every path, size, and modification time: changed photographs are decoded again.

    Args:
        directory: searched recursively.
        cache: directory, made where it is missing. Takes 3 bytes a pixel.
        smallest: photographs with a shorter side are skipped.
        threads: how many photographs are decoded at a time.
        progress: called for every photograph.

    Raises:
        InputError: no such directory, no usable photograph in it, or the cache cannot be written.
    """
    paths = find_images(directory, _MOST)
    found: list[Photo] = []
    skipped: dict[str, str] = {}
    with ThreadPoolExecutor(threads) as pool:
        try:
            entries = pool.map(partial(_entry, directory, cache, smallest), paths)
            for done, (path, entry) in enumerate(zip(paths, entries, strict=True)):
                progress(Progress("reading photographs", done / len(paths)))
                if isinstance(entry, Photo):
                    found.append(entry)
                else:
                    skipped[path.relative_to(directory).as_posix()] = entry
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    photos = Photos(tuple(found), skipped)
    if not found:
        raise InputError(f"{directory} contains no usable photograph", "\n  ".join(photos.notes()))
    return photos


def _entry(directory: Path, cache: Path, smallest: int, path: Path) -> Photo | str:
    """A photograph in the cache, or the reason why it is not used."""
    try:
        array = cache / f"{_key(path)}.npy"
    except OSError as error:
        return str(error.strerror or error)
    try:
        shape = _cached_shape(array) or _store(path, array)
    except _UnreadableError as error:
        return str(error)
    height, width = shape
    if min(shape) < smallest:
        return f"{width}x{height}, smaller than {smallest}"
    return Photo(path.relative_to(directory).as_posix(), array, height, width)


class _UnreadableError(Exception):
    """A photograph that cannot be read, as opposed to a cache that cannot be written."""


def _key(path: Path) -> str:
    status = path.stat()
    parts: Sequence[object] = (path.resolve(), status.st_size, status.st_mtime_ns, CONVERSION)
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _cached_shape(array: Path) -> tuple[int, int] | None:
    """Height and width, or None where the file is missing or damaged."""
    try:
        mapped = np.load(array, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    if mapped.dtype != np.uint8 or mapped.ndim != 3:
        return None
    return mapped.shape[0], mapped.shape[1]


def _store(path: Path, array: Path) -> tuple[int, int]:
    try:
        pixels = read_photo(path)
    # Decoders raise exceptions of any type, and one unreadable photograph must not stop the others.
    except Exception as error:
        raise _UnreadableError(described(error).removeprefix(f"cannot read image {path}: ")) from error
    stream = io.BytesIO()
    np.save(stream, pixels)
    write_bytes(array, stream.getvalue())
    return pixels.shape[0], pixels.shape[1]
