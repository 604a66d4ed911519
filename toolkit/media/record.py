"""Record of the files that a command has finished, which `--resume` leaves as they are; kept in the user's cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import msgspec

from toolkit.media.item import Item
from toolkit.media.options import UpscaleOptions
from toolkit.media.weights import Choice
from toolkit.system.atomic import sha256_of
from toolkit.system.cache import cache_directory
from toolkit.system.documents import MalformedDocument, from_json

_KEPT_SECONDS = 90 * 86400.0
"""Records that no run has added to for this long are removed when another one begins."""


class _Finished(msgspec.Struct, frozen=True):
    """An input and its output, recognised by their sizes and modification times in nanoseconds; the weights used."""

    source: str
    output: str
    source_state: tuple[int, int]
    output_state: tuple[int, int]
    weights: Choice = Choice()

    @classmethod
    def of(cls, item: Item) -> _Finished:
        """Raises OSError if one of the files does not exist."""
        return cls(str(item.source.absolute()), str(item.output.absolute()), _state(item.source), _state(item.output))

    @property
    def files(self) -> _Finished:
        """Without the weights, for comparing."""
        return msgspec.structs.replace(self, weights=Choice())


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


class Record:
    """Files that runs of the same command have finished: with the same inputs, networks and options.

    Has one line per file, appended as soon as its output is written, so that it survives a crash.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = _read(path)

    @classmethod
    def of(cls, paths: Sequence[Path], output: Path | None, options: UpscaleOptions, networks: Sequence[str]) -> Self:
        """The record of a command.

        Args:
            paths: inputs of the command.
            output: of the command.
            options: those that change the results distinguish commands.
            networks: SHA-256 of the networks that the run may use.
        """
        changing = replace(options, resume=False, overwrite=False, jobs=1, ray=None, threads=0, models=())
        places = [str(path.absolute()) for path in (*paths, *([output] if output else []))]
        digest = sha256_of(repr((places, changing, sorted(networks))).encode("utf-8", "surrogateescape"))
        return cls(cache_directory() / "runs" / f"{digest[:32]}.jsonl")

    def holds(self, item: Item) -> bool:
        """Whether this command wrote the output from this input, and both are unchanged since."""
        try:
            return _Finished.of(item) in self._known
        except OSError:
            return False

    def weights(self, item: Item) -> Choice:
        """The weights that a file was upscaled with, which the record holds."""
        return self._known[_Finished.of(item)]

    def add(self, item: Item, weights: Choice) -> None:
        """Add a file. If the record cannot be written, a later `--resume` reports finished files as existing."""
        try:
            finished = msgspec.structs.replace(_Finished.of(item), weights=weights)
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                _remove_old(self._path.parent)
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(finished) + b"\n")
        except OSError:
            return
        self._known[finished.files] = weights

    def clear(self) -> None:
        """Forget all files, because they are going to be written again."""
        self._known.clear()
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return  # as in `add`


def _remove_old(directory: Path) -> None:
    """Raises OSError if a record cannot be removed."""
    oldest = time.time() - _KEPT_SECONDS
    for path in directory.glob("*.jsonl"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[_Finished, Choice]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return {}
    known = {}
    for line in lines:
        try:
            finished = from_json(line, _Finished)
        except MalformedDocument:
            continue  # incomplete line of a run that was killed while writing
        known[finished.files] = finished.weights
    return known
