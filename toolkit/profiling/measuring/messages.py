"""What the profiler and its worker processes say to each other: one JSON document a line."""

from __future__ import annotations

from typing import IO, Any, Literal

import msgspec

from toolkit.runtimes.protocol import LayerTime, Stages

Boundary = Literal["compute", "host", "image"]
"""What a frame time is. `compute`: input and output stay where the runtime wants them. `host`: from an array in host
memory to an array in host memory, copies included. `image`: from an RGB image in uint8 (H, W, 3) to another, conversion
included."""


class Open(msgspec.Struct, frozen=True, tag=True):
    """Load an artifact, or an engine bundle, and bind a size. `cpus` are what the process may run on; none: any."""

    runtime: str
    path: str
    precision: str
    height: int
    width: int
    threads: int
    engine: bool = False
    boundary: Boundary = "host"
    cpus: tuple[int, ...] = ()


class Run(msgspec.Struct, frozen=True, tag=True):
    """Time this many frames, one by one."""

    frames: int


class Concurrent(msgspec.Struct, frozen=True, tag=True):
    """Run frames in as many sessions at once, which share the threads, for some time."""

    streams: int
    seconds: float


class Layers(msgspec.Struct, frozen=True, tag=True):
    """Time every layer with the runtime's own profiler, over this many frames."""

    frames: int


class Result(msgspec.Struct, frozen=True, tag=True):
    """Write the output for the frame that is timed to a file, as NumPy stores arrays."""

    path: str


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Report the peak memory and what ran, and end."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """Ready, one frame having been run.

    `load_seconds` from the request to a session bound to its size, the runtime's import included; `first_seconds` of
    the first frame; resident bytes of the process before the request, and after the first frame.
    """

    load_seconds: float
    first_seconds: float
    resident_before: int
    resident_loaded: int


class Timed(msgspec.Struct, frozen=True, tag=True):
    """Seconds of each frame, on a GPU also of its stages; processor seconds that the process used, all threads."""

    seconds: list[float]
    processor_seconds: float
    stages: list[Stages] = []


class Produced(msgspec.Struct, frozen=True, tag=True):
    """Frames that all streams together finished, and in what time."""

    frames: int
    seconds: float


class LayersTimed(msgspec.Struct, frozen=True, tag=True):
    """Seconds of a frame by layer, in the order in which they ran."""

    layers: list[LayerTime]


class Saved(msgspec.Struct, frozen=True, tag=True):
    """The output was written."""


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """Peak resident memory of the whole worker process until frames were last timed, in bytes; nodes per precision that
    really ran, and where: `cpu` or `cuda`."""

    peak_bytes: int
    executed: dict[str, int]
    device: str = "cpu"


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The cell cannot do what it was asked."""

    reason: str
    remedy: str = ""


Request = Open | Run | Concurrent | Layers | Result | Stop
Reply = Opened | Timed | Produced | LayersTimed | Saved | Stopped | Failed


def send(stream: IO[bytes], message: Request | Reply) -> None:
    """Write a message and flush."""
    stream.write(msgspec.json.encode(message) + b"\n")
    stream.flush()


def receive(stream: IO[bytes], kind: Any) -> Any:
    """The next message, one of the union `kind`, or None at the end of the stream."""
    line = stream.readline()
    return msgspec.json.decode(line, type=kind) if line else None
