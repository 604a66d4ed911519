"""What the profiler and its worker processes say to each other: one JSON document a line."""

from __future__ import annotations

from typing import IO, Any

import msgspec


class Open(msgspec.Struct, frozen=True, tag=True):
    """Load an artifact, or an engine bundle, and bind a size."""

    runtime: str
    path: str
    precision: str
    height: int
    width: int
    threads: int
    engine: bool = False


class Run(msgspec.Struct, frozen=True, tag=True):
    """Time this many frames, one by one."""

    frames: int


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Report the peak memory and what ran, and end."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """Ready: seconds from the request to the end of the first frame."""

    load_seconds: float


class Timed(msgspec.Struct, frozen=True, tag=True):
    """Seconds of each frame."""

    seconds: list[float]


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """Peak resident memory of the whole worker process, in bytes, and nodes per precision that really ran."""

    peak_bytes: int
    executed: dict[str, int]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The cell cannot run."""

    reason: str
    remedy: str = ""


Request = Open | Run | Stop
Reply = Opened | Timed | Stopped | Failed


def send(stream: IO[bytes], message: Request | Reply) -> None:
    """Write a message and flush."""
    stream.write(msgspec.json.encode(message) + b"\n")
    stream.flush()


def receive(stream: IO[bytes], kind: Any) -> Any:
    """The next message, one of the union `kind`, or None at the end of the stream."""
    line = stream.readline()
    return msgspec.json.decode(line, type=kind) if line else None
