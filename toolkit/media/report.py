"""What became of each file."""

from __future__ import annotations

from typing import Literal

import msgspec

Outcome = Literal["done", "stopped", "failed"]


class FileReport(msgspec.Struct, frozen=True):
    """A file that was upscaled, or not.

    Attributes:
        source: its path.
        output: where the result is; empty when it failed.
        kind: `image` or `video`.
        outcome: `stopped`: somebody interrupted, and the output holds what was done until then.
        frames: 1 for pictures.
        seconds: that it took; of files that share workers, until the last part was there.
        reused: share of rows whose result was taken from the frame before.
        corrupt: frames that could not be decoded.
        notes: what is not as it was in the input, or was assumed about it.
        error: why it failed.
        remedy: what to do about it.
    """

    source: str
    output: str
    kind: Literal["image", "video"]
    outcome: Outcome
    frames: int = 0
    seconds: float = 0.0
    reused: float = 0.0
    corrupt: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""
    remedy: str = ""

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


class UpscaleReport(msgspec.Struct, frozen=True):
    """All files of a run, in the order they were given, and the networks that were used."""

    files: tuple[FileReport, ...]
    models: tuple[str, ...]

    @property
    def stopped(self) -> bool:
        return any(item.outcome == "stopped" for item in self.files)

    @property
    def failed(self) -> tuple[FileReport, ...]:
        return tuple(item for item in self.files if item.outcome == "failed")
