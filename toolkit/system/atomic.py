"""Atomic writes: files and directories that appear complete or not at all, and checks of outputs before long work."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import InputError, OutputExists

_CHUNK = 1 << 20
_STDOUT = Path("-")
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux's renameat2."""


def write_bytes(path: Path, data: bytes, *, overwrite: bool = True) -> None:
    """Write `data` to `path`, whose directory is created if it is missing.

    Raises:
        InputError: the directory cannot be created or written to.
        OutputExists: `path` exists, and `overwrite` is false.
    """
    with writable(path), new_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


@contextmanager
def new_file(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """The path of a temporary file beside `path`, which is renamed to `path` when the block ends without an error.

    After an error the temporary file is removed. Without `overwrite`, checking and renaming are one step of the
    operating system, so that a file that appeared during the block is safe too.

    Raises:
        OutputExists: `path` exists, and `overwrite` is false.
        OSError: the operating system refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        yield temporary
        publish(temporary, path, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A temporary directory beside `path`, which takes the place of `path` when the block ends without an error.

    Raises:
        OSError: the operating system refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        _replace_directory(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def temporary_name(path: Path) -> Path:
    """A hidden name beside `path` that no other process or thread uses; see `remove_temporaries`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")


def publish(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Rename a finished file; see `new_file`."""
    if overwrite:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise OutputExists(f"{path} exists") from error
    except OSError:
        # The file system has no hard links: reserve the name, then replace our own empty file.
        _reserve(path)
        temporary.replace(path)
    else:
        temporary.unlink()


def _reserve(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError as error:
        raise OutputExists(f"{path} exists") from error


def _replace_directory(new: Path, path: Path) -> None:
    """Rename `new` to `path`, which is never missing in between where the system can exchange two directories."""
    if not path.is_dir() or path.is_symlink():
        new.rename(path)
        return
    old = new
    if not _exchanged(new, path):
        old = path.with_name(f".{path.name}.old.{os.getpid()}")
        path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            old.rename(path)
            raise
    shutil.rmtree(old, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two directories in one step, which Linux and most of its file systems can; False: not possible."""
    exchange = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    if exchange is None:
        return False
    failed: int = exchange(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    return not failed


def reserve(path: Path) -> None:
    """Create `path` as an empty file, in one step with the check that it does not exist.

    Raises:
        OutputExists: `path` exists.
        InputError: it cannot be created.
    """
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _reserve(path)


def reserve_numbered(path: Path) -> Path:
    """Reserve the first free name among `report.json`, `report-2.json`, ...; concurrent runs get different names.

    Raises:
        InputError: the file cannot be created.
    """
    while True:
        found = numbered(path)
        try:
            reserve(found)
        except OutputExists:
            continue  # another process was faster: the next number
        return found


def release(path: Path) -> None:
    """Remove a reserved file that is still empty."""
    if path.is_file() and path.stat().st_size == 0:
        path.unlink(missing_ok=True)


def check_outputs(*paths: Path | None, overwrite: bool) -> None:
    """Refuse existing outputs before any work is done.

    Args:
        paths: files to write; None: not requested; `-`: standard output. Devices and pipes are written to, not
            replaced.
        overwrite: whether existing files may be replaced.

    Raises:
        OutputExists: one of the files exists, and `overwrite` is false.
    """
    for path in paths:
        if path is not None and path != _STDOUT and not overwrite and path.is_file():
            raise OutputExists(f"{path} exists")


def numbered(path: Path, *, latest: bool = False) -> Path:
    """The first name that does not exist among `report.json`, `report-2.json`, ...

    With `latest`, the last one that exists; if there is none, `path`. See `reserve_numbered` for concurrent runs.
    """
    number, found, before = 1, path, path
    while found.exists():
        number, before = number + 1, found
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return before if latest else found


def remove_temporaries(path: Path, processes: Iterable[int]) -> None:
    """Remove the temporary files that killed processes left when they wrote `path`."""
    theirs = tuple(f".{path.name}.{process}" for process in processes)
    for found in list(path.parent.iterdir()) if path.parent.is_dir() else []:
        if found.name.startswith(theirs) and found.name.endswith(".tmp"):
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
    """Refuse an output that cannot be written before long work is done. Missing directories are created.

    Raises:
        InputError: `path` cannot be written.
    """
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a directory", "Give a file name.")
    with writable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Report an OSError that was raised while `path` was written.

    Raises:
        InputError: in its place.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "Make room there, or choose another directory." if full else "Choose a directory you can write to."
        raise InputError(f"cannot write {path}: {error.strerror or error}", remedy) from error
