"""Encoded segments on disk, from which `--resume` continues."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from toolkit.errors import InputError
from toolkit.media.videos.encoding import Part
from toolkit.system.atomic import sha256_of, write_bytes
from toolkit.system.documents import MalformedDocument, from_json, from_msgpack
from toolkit.system.lock import Lock

_PLAN = "plan.json"
_STOPPED = "stopped.json"
_LOCK = "lock"
_NUMBERED = re.compile(r"[0-9]{6,9}\.part")


class _Plan(msgspec.Struct, frozen=True):
    digest: str


class _Stopped(msgspec.Struct, frozen=True):
    """The playable file of a run that was stopped, recognised by its size and modification time."""

    name: str
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> _Stopped:
        status = path.lstat()
        return cls(path.name, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Parts:
    """A directory beside the output, with one file per finished segment."""

    directory: Path

    @classmethod
    def beside(cls, output: Path) -> Parts:
        return cls(output.with_name(f".{output.name}.parts"))

    def lock(self) -> Lock:
        """Lock the directory against other runs. A run that was killed leaves no lock.

        Raises:
            Busy: another run uses it.
            InputError: the directory cannot be written.
        """
        return Lock.take(self.directory / _LOCK)

    def begin(self, plan: dict[str, object], *, resume: bool, overwrite: bool = False) -> set[int]:
        """Prepare the directory for a job.

        Args:
            plan: everything that the segments depend on.
            resume: continue with the finished segments of the same job.
            overwrite: delete finished segments.

        Returns:
            Numbers of the finished segments.

        Raises:
            InputError: the segments are of another job, or neither `resume` nor `overwrite` is given.
        """
        digest = sha256_of(msgspec.json.encode(plan, order="deterministic"))
        path = self.directory / _PLAN
        finished = {int(item.stem) for item in self.directory.glob("*.part") if _NUMBERED.fullmatch(item.name)}
        if resume and path.is_file():
            if _digest(path) != digest:
                raise InputError(
                    f"{self.directory} belongs to another job: the input, the network or the options were different",
                    "Give the same ones, or --overwrite instead of --resume to start over.",
                )
            return finished
        if finished and not overwrite:
            raise InputError(
                f"{self.directory} has {len(finished)} finished parts of a run that was interrupted",
                "Give --resume to continue with them, or --overwrite to delete them and start over.",
            )
        self.remove()
        write_bytes(path, msgspec.json.encode({"digest": digest, "plan": plan}))
        return set()

    def claim(self, stopped: Path) -> None:
        """Record the file that this job wrote when it was stopped, so that it may be replaced or removed later."""
        write_bytes(self.directory / _STOPPED, msgspec.json.encode(_Stopped.of(stopped)))

    def claimed(self) -> Path | None:
        """The file that this job wrote when it was stopped; None if there is none, or if it was changed since."""
        try:
            known = from_json((self.directory / _STOPPED).read_bytes(), _Stopped)
            path = self.directory.parent / known.name
            return path if known == _Stopped.of(path) else None
        except (OSError, ValueError):  # ValueError: for a name that contains NUL
            return None

    def claims(self, stopped: Path) -> bool:
        """Whether this job wrote the file, and nobody has changed it since."""
        return self.claimed() == stopped

    def write(self, part: Part) -> None:
        write_bytes(self._path(part.number), msgspec.msgpack.encode(part))

    def read(self, number: int) -> Part:
        try:
            part = from_msgpack(self._path(number).read_bytes(), Part)
            if part.number != number:
                raise MalformedDocument(f"it is part {part.number}")
        except (OSError, MalformedDocument) as error:
            raise InputError(
                f"cannot read {self._path(number)}: {error}", "Give --overwrite instead of --resume to start over."
            ) from error
        return part

    def remove(self) -> None:
        """Remove the toolkit's files, and the directory unless it holds others."""
        for path in list(self.directory.iterdir()) if self.directory.is_dir() else []:
            unfinished = path.name.startswith(".") and path.suffix == ".tmp"
            if path.name in (_PLAN, _STOPPED) or path.suffix == ".part" or unfinished:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:06}.part"


def _digest(path: Path) -> str:
    try:
        return from_json(path.read_bytes(), _Plan).digest
    except (OSError, MalformedDocument):
        return ""
