"""Encoded segments on disk, until the whole video is there: what `--resume` goes on from."""

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
    """A playable file of what was done when somebody stopped, recognised again by its size and time."""

    name: str
    size: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> _Stopped:
        status = path.lstat()
        return cls(path.name, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class Parts:
    """A directory beside the output with a file a finished segment."""

    directory: Path

    @classmethod
    def beside(cls, output: Path) -> Parts:
        return cls(output.with_name(f".{output.name}.parts"))

    def lock(self) -> Lock:
        """Keep other runs out of the directory; of a run that was killed no lock is left.

        Raises:
            Busy: another run is at it.
            InputError: the directory cannot be written.
        """
        return Lock.take(self.directory / _LOCK)

    def begin(self, plan: dict[str, object], *, resume: bool, overwrite: bool = False) -> set[int]:
        """Make the directory ready for a job that `plan` describes in full.

        Returns:
            Numbers of the segments that are there already.

        Raises:
            InputError: what lies there is of another job, or would be lost without `resume` or `overwrite`.
        """
        digest = sha256_of(msgspec.json.encode(plan, order="deterministic"))
        path = self.directory / _PLAN
        finished = {int(item.stem) for item in self.directory.glob("*.part") if _NUMBERED.fullmatch(item.name)}
        if resume and path.is_file():
            if _digest(path) != digest:
                raise InputError(
                    f"{self.directory} is of another job: the input, the network or the options were others",
                    "Give the same ones, or --overwrite instead of --resume to begin again.",
                )
            return finished
        if finished and not overwrite:
            raise InputError(
                f"{self.directory} has {len(finished)} finished parts of a run that was interrupted",
                "Give --resume to go on with them, or --overwrite to delete them and begin again.",
            )
        self.remove()
        write_bytes(path, msgspec.json.encode({"digest": digest, "plan": plan}))
        return set()

    def claim(self, stopped: Path) -> None:
        """Remember a file that this job wrote when it was stopped, so that it may replace it later."""
        write_bytes(self.directory / _STOPPED, msgspec.json.encode(_Stopped.of(stopped)))

    def claims(self, stopped: Path) -> bool:
        """Whether this job wrote the file, and nobody has changed it since."""
        try:
            known = from_json((self.directory / _STOPPED).read_bytes(), _Stopped)
            return known == _Stopped.of(stopped)
        except (OSError, MalformedDocument):
            return False

    def write(self, part: Part) -> None:
        write_bytes(self._path(part.number), msgspec.msgpack.encode(part))

    def read(self, number: int) -> Part:
        try:
            part = from_msgpack(self._path(number).read_bytes(), Part)
            if part.number != number:
                raise MalformedDocument(f"it is part {part.number}")
        except (OSError, MalformedDocument) as error:
            raise InputError(
                f"cannot read {self._path(number)}: {error}", "Give --overwrite instead of --resume to begin again."
            ) from error
        return part

    def remove(self) -> None:
        """Remove what the toolkit wrote, and the directory unless there is something else in it."""
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
