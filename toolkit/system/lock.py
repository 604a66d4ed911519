"""A lock file: one run at a time works on an output."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import InputError
from toolkit.system.atomic import writable

_FAR = 1 << 30
"""Windows locks bytes against reading, too: one beyond the content."""
_NOT_SUPPORTED = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


_NOT_A_LINK = getattr(os, "O_NOFOLLOW", 0)
_ATTEMPTS = 100
"""In each of them another run has removed the file in the moment between our opening and locking it."""


class Busy(InputError):
    """Another run holds the lock."""


@dataclass
class Lock:
    """A lock that the operating system holds for this process.

    It ends with the process, however that ends: what a killed run leaves is an ordinary file and blocks nobody.
    """

    path: Path
    _descriptor: int | None

    @classmethod
    def take(cls, path: Path) -> Lock:
        """Lock a file, which is created with its directory.

        On file systems that have no locks (some network ones) nothing is locked.

        Raises:
            Busy: another run, or another one in this process, holds it.
            InputError: it cannot be written.
        """
        with writable(path):
            for _ in range(_ATTEMPTS):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _NOT_A_LINK, 0o644)
                except FileNotFoundError:
                    continue  # the run before has just removed the directory
                try:
                    _lock(descriptor, path)
                    if _is_still_there(descriptor, path):
                        os.ftruncate(descriptor, 0)
                        os.write(descriptor, str(os.getpid()).encode())
                        return cls(path, descriptor)
                except BaseException:
                    os.close(descriptor)
                    raise
                os.close(descriptor)
            raise InputError(f"cannot lock {path}: others keep removing it", "Try again.")

    def release(self) -> None:
        """Unlock and remove the file, and its directory if that is empty."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if os.name == "nt":
            os.close(descriptor)  # open files cannot be removed there
            descriptor = -1
        # A file that cannot be removed blocks nobody.
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        if descriptor >= 0:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()


def _lock(descriptor: int, path: Path) -> None:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            # Not lockf: that one is lost as soon as any file object of the same file is closed.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            return
        if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise
        holder = _holder(path)
        raise Busy(
            f"another run{holder} works on the same output: {path} is locked",
            "Wait until it ends, or name another output with -o.",
        ) from error


def _is_still_there(descriptor: int, path: Path) -> bool:
    """Not the file of a run that removed it between our opening and locking it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        number = path.read_bytes()[:20].decode("ascii", "replace")
    except OSError:
        return ""
    return f" (process {number})" if number.isdigit() else ""
