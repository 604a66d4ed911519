"""Encoded segments on disk, until the whole video is there: what `--resume` goes on from."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from toolkit.atomic import sha256_of, write_bytes
from toolkit.documents import MalformedDocument, from_json, from_msgpack
from toolkit.errors import InputError
from toolkit.media.encoding import Part

_PLAN = "plan.json"
_NUMBERED = re.compile(r"[0-9]{6,9}\.part")


class _Plan(msgspec.Struct, frozen=True):
    digest: str


@dataclass(frozen=True)
class Parts:
    """A directory beside the output with a file a finished segment."""

    directory: Path

    @classmethod
    def beside(cls, output: Path) -> Parts:
        return cls(output.with_name(f".{output.name}.parts"))

    def begin(self, plan: dict[str, object], *, resume: bool) -> set[int]:
        """Make the directory ready for a job that `plan` describes in full.

        Returns:
            Numbers of the segments that are there already.

        Raises:
            InputError: what lies there is of another job.
        """
        digest = sha256_of(msgspec.json.encode(plan, order="deterministic"))
        path = self.directory / _PLAN
        if resume and path.is_file():
            if _digest(path) != digest:
                raise InputError(
                    f"{self.directory} is of another job: the input, the network or the options were others",
                    "Give the same ones, or leave out --resume to begin anew.",
                )
            return {int(item.stem) for item in self.directory.glob("*.part") if _NUMBERED.fullmatch(item.name)}
        self.remove()
        write_bytes(path, msgspec.json.encode({"digest": digest, "plan": plan}))
        return set()

    def write(self, part: Part) -> None:
        write_bytes(self._path(part.number), msgspec.msgpack.encode(part))

    def read(self, number: int) -> Part:
        try:
            part = from_msgpack(self._path(number).read_bytes(), Part)
            if part.number != number:
                raise MalformedDocument(f"it is part {part.number}")
        except (OSError, MalformedDocument) as error:
            raise InputError(
                f"cannot read {self._path(number)}: {error}", "Leave out --resume to start again from the beginning."
            ) from error
        return part

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:06}.part"


def _digest(path: Path) -> str:
    try:
        return from_json(path.read_bytes(), _Plan).digest
    except (OSError, MalformedDocument):
        return ""
