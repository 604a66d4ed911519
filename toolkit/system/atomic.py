"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import InputError, OutputExists

_CHUNK = 1 << 20


def write_bytes(path: Path, data: bytes, *, overwrite: bool = True) -> None:
    """Write `data` to `path` through a temporary file beside it and a rename.

    Raises:
        InputError: the directory cannot be created or written to.
        OutputExists: `path` exists, and `overwrite` is false.
    """
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            temporary.write_bytes(data)
            publish(temporary, path, overwrite=overwrite)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def publish(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Give a finished file its name.

    Without `overwrite` the check and the renaming are one step of the operating system, so a file that appeared while
    the work was done is safe too.

    Raises:
        OutputExists: `path` exists, and `overwrite` is false.
        OSError: the operating system refuses.
    """
    if overwrite:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise OutputExists(f"{path} exists") from error
    except OSError:
        # File systems without hard links: reserve the name, then replace what is our own empty file.
        _reserve(path)
        temporary.replace(path)
    else:
        temporary.unlink()


def _reserve(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError as error:
        raise OutputExists(f"{path} exists") from error


def check_outputs(*paths: Path | None, overwrite: bool) -> None:
    """Find out before any work whether files that a command is to write are there already.

    Args:
        paths: files; None: not asked for. Devices and pipes are written to, not replaced.
        overwrite: they may be replaced.

    Raises:
        OutputExists: one is.
    """
    for path in paths:
        if path is not None and not overwrite and path.is_file():
            raise OutputExists(f"{path} exists")


def numbered(path: Path, *, latest: bool = False) -> Path:
    """A name that nobody typed, with the first number that makes it new: `report.json`, `report-2.json`, ...

    With `latest` the last one that exists; where there is none, `path` itself.
    """
    number, found, before = 1, path, path
    while found.exists():
        number, before = number + 1, found
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return before if latest else found


def remove_temporaries(path: Path, processes: Iterable[int]) -> None:
    """Remove what killed processes have left of writing `path`."""
    mine = tuple(f".{path.name}.{process}" for process in processes)
    for found in list(path.parent.iterdir()) if path.parent.is_dir() else []:
        if found.name.startswith(mine) and found.name.endswith(".tmp"):
            found.unlink(missing_ok=True)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_writable(path: Path) -> None:
    """Find out before long work whether `path` can be written in the end; nothing stays of the attempt but directories.

    Raises:
        InputError: it cannot.
    """
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a directory", "Name a file.")
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into an error a person can act on."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "Make room there, or choose another directory." if full else "Choose a directory you can write to."
        raise InputError(f"cannot write {path}: {error.strerror or error}", remedy) from error
