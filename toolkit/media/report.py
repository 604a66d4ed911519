"""Reports of a run: one for each file."""

from __future__ import annotations

from typing import Literal

import msgspec

from toolkit.media.videos.chroma import Chroma
from toolkit.media.weights import Choice

Outcome = Literal["done", "stopped", "exists", "failed"]


class FileReport(msgspec.Struct, frozen=True):
    """What was done with a file.

    Attributes:
        source: its path.
        output: where the result is, or the existing file that was not overwritten; empty when it failed.
        kind: `image` or `video`; `folder`: one that cannot be listed, or a path without a suffix that does not exist.
        outcome: `stopped`: the run was interrupted, and the output holds what was finished. `exists`: not upscaled,
            since the output exists and is not to be overwritten.
        frames: 1 for pictures; 0 if an earlier run finished the file.
        seconds: duration; with workers, until the last segment was finished.
        scale: of the network; 0 without a result, and if an earlier run finished the file.
        weights: which network, and why.
        reused: share of rows whose result was taken from the frame before, 0 to 1.
        corrupt: number of frames that could not be decoded.
        chroma: of a video: where the chroma of the result comes from; empty for pictures, and without a result.
        notes: differences from the input, and assumptions about it.
        error: why it failed.
        remedy: what to do about it.
        traceback: of failed files, for debugging.
        earlier: whether an earlier run of the same command had finished it, and this one was to resume.
    """

    source: str
    output: str
    kind: Literal["image", "video", "folder"]
    outcome: Outcome
    frames: int = 0
    seconds: float = 0.0
    scale: int = 0
    weights: Choice = Choice()
    reused: float = 0.0
    corrupt: int = 0
    chroma: Chroma | Literal[""] = ""
    notes: tuple[str, ...] = ()
    error: str = ""
    remedy: str = ""
    traceback: str = ""
    earlier: bool = False

    @property
    def frames_per_second(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


class LeftOut(msgspec.Struct, frozen=True):
    """A file that was skipped, and why."""

    source: str
    reason: str


class UpscaleReport(msgspec.Struct, frozen=True):
    """A run.

    Attributes:
        files: in the order of the inputs.
        models: the networks that were used.
        left_out: files that were skipped, such as results of earlier runs.
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
