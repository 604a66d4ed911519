"""The log of a training run: a JSON line per interval, and TensorBoard's files if it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from toolkit.system.atomic import writable, write_bytes
from toolkit.system.extras import how_to_install

LOG_FILE = "log.jsonl"


class TrainingLine(msgspec.Struct, frozen=True, tag="training", tag_field="kind"):
    """Means since the previous line.

    Attributes:
        iteration: finished iterations.
        loss: mean over the iterations since.
        norm: mean of the gradients' norms before clipping.
        learning_rate: of the last step.
        rate: iterations per second.
    """

    iteration: int
    loss: float
    norm: float
    learning_rate: float
    rate: float


class ValidationLine(msgspec.Struct, frozen=True, tag="validation", tag_field="kind"):
    """Mean PSNR of luma in dB of the averaged weights, and the best so far."""

    iteration: int
    psnr_y: float
    best: float


Line = TrainingLine | ValidationLine


class Journal:
    """Appends lines to the log. Each is written before the next iteration begins."""

    def __init__(self, path: Path, board: Any) -> None:
        self._path, self._board = path, board

    def write(self, line: Line) -> None:
        """Append a line."""
        with writable(self._path), self._path.open("ab") as stream:
            stream.write(msgspec.json.encode(line) + b"\n")
        if self._board is not None:
            group = "training" if isinstance(line, TrainingLine) else "validation"
            for name, value in msgspec.structs.asdict(line).items():
                if name != "iteration":
                    self._board.add_scalar(f"{group}/{name}", value, line.iteration)


@contextmanager
def journal(directory: Path, iteration: int, note: Callable[[str], None]) -> Iterator[Journal]:
    """The log of a run that resumes after `iteration`. Lines of later iterations, which are repeated, are removed.

    Args:
        directory: of the run.
        iteration: finished iterations.
        note: called if TensorBoard is not installed.
    """
    path = directory / LOG_FILE
    write_bytes(path, b"".join(line + b"\n" for line in _lines_until(path, iteration)))
    board = _board(directory, iteration, note)
    try:
        yield Journal(path, board)
    finally:
        if board is not None:
            board.close()


def read_log(path: Path) -> list[Line]:
    """The lines of a log. A line that a crash truncated is left out."""
    return [line for _, line in _parsed(path)]


def _lines_until(path: Path, iteration: int) -> list[bytes]:
    return [raw for raw, line in _parsed(path) if line.iteration <= iteration]


def _parsed(path: Path) -> Iterator[tuple[bytes, Line]]:
    if not path.exists():
        return
    for raw in path.read_bytes().splitlines():
        try:
            yield raw, msgspec.json.decode(raw, type=Line)
        except (ValueError, RecursionError):
            continue


def _board(directory: Path, iteration: int, note: Callable[[str], None]) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        note(f"TensorBoard is not installed ({how_to_install('train')}); the log is in log.jsonl only")
        return None
    return SummaryWriter(str(directory / "tensorboard"), purge_step=iteration + 1)
