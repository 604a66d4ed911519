"""What became of each file."""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["done", "stopped", "exists", "failed"]


class FileReport(msgspec.Struct, frozen=True):
    """A file that was upscaled, or not.

    Attributes:
        source: its path.
        output: where the result is, or the existing file that was not overwritten; empty when it failed.
        kind: `image` or `video`; `folder`: one that cannot be listed.
        outcome: `stopped`: somebody interrupted, and the output holds what was done until then. `exists`: nothing was
            done, because the output exists and was not to be overwritten.
        earlier: an interrupted run of the same command had done it already, and this one had not to.
        frames: 1 for pictures; 0 if it was done earlier.
        seconds: that it took; of files that share workers, until the last part was there.
        reused: share of rows whose result was taken from the frame before.
        corrupt: frames that could not be decoded.
        notes: what is not as it was in the input, or was assumed about it.
        error: why it was not done.
        remedy: what to do about it.
        traceback: where in the code it failed, for people who look for the reason; of failed files only.
    """

    source: str
    output: str
    kind: Literal["image", "video", "folder"]
    outcome: Outcome
    frames: int = 0
    seconds: float = 0.0
    reused: float = 0.0
    corrupt: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""
    remedy: str = ""
    traceback: str = ""
    earlier: bool = False

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


class LeftOut(msgspec.Struct, frozen=True):
    """A file that was not upscaled on purpose, and why."""

    source: str
    reason: str


class UpscaleReport(msgspec.Struct, frozen=True):
    """A run.

    Attributes:
        files: in the order they were given.
        models: the networks that were used.
        left_out: files that were met and are no input of this run, such as results of an earlier one.
    """

    files: tuple[FileReport, ...]
    models: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def stopped(self) -> bool:
        return any(item.outcome == "stopped" for item in self.files)

    @property
    def failed(self) -> tuple[FileReport, ...]:
        return tuple(item for item in self.files if item.outcome == "failed")

    @property
    def complete(self) -> bool:
        """Whether every file is done."""
        return all(item.outcome == "done" for item in self.files)
