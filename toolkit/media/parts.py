"""Encoded segments on disk, until the whole video is there: what `--resume` goes on from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from toolkit.atomic import sha256_of, write_bytes
from toolkit.errors import InputError
from toolkit.media.encoding import Part

_PLAN = "plan.json"


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
            return {int(item.stem) for item in self.directory.glob("*.part")}
        self.remove()
        write_bytes(path, msgspec.json.encode({"digest": digest, "plan": plan}))
        return set()

    def write(self, part: Part) -> None:
        write_bytes(self._path(part.number), msgspec.msgpack.encode(part))

    def read(self, number: int) -> Part:
        try:
            return msgspec.msgpack.decode(self._path(number).read_bytes(), type=Part)
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(
                f"cannot read {self._path(number)}: {error}", "Leave out --resume to begin anew."
            ) from error

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:06}.part"


def _digest(path: Path) -> str:
    try:
        return str(msgspec.json.decode(path.read_bytes())["digest"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return ""
