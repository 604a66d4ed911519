"""Messages between the profiler and its worker processes: one JSON document per line."""

from __future__ import annotations

from typing import IO, Any, Literal

import msgspec

from toolkit.precisions import Precision
from toolkit.runtimes.reported import LayerTime, Stages

Boundary = Literal["compute", "host", "image"]
"""What a frame time includes. `compute`: inference only; input and output stay in memory of the runtime. `host`: from
an array in host memory to an array in host memory, copies included. `image`: from a uint8 RGB image (H, W, 3) to
another, conversion included."""


class Open(msgspec.Struct, frozen=True, tag=True):
    """Load an artifact or an engine bundle, and bind a size in pixels. `cpus`: CPU affinity; empty: any CPU."""

    runtime: str
    path: str
    precision: Precision
    height: int
    width: int
    threads: int
    boundary: Boundary = "host"
    cpus: tuple[int, ...] = ()


class Run(msgspec.Struct, frozen=True, tag=True):
    """Time this many frames, one after the other."""

    frames: int


class Concurrent(msgspec.Struct, frozen=True, tag=True):
    """Run frames in this many concurrent sessions, which share the threads, for this many seconds."""

    streams: int
    seconds: float


class Layers(msgspec.Struct, frozen=True, tag=True):
    """Time each layer with the runtime's own profiler, over this many frames."""

    frames: int


class Result(msgspec.Struct, frozen=True, tag=True):
    """Write the output for the measured frame to an .npy file."""

    path: str


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Report peak memory and executed precisions, and exit."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The session is ready, and one frame was run.

    `load_seconds`: from the request to a bound session, including the import of the runtime; `first_seconds`: of the
    first frame; `resident_before` and `resident_loaded`: resident bytes of the process before the request and after
    the first frame.
    """

    load_seconds: float
    first_seconds: float
    resident_before: int
    resident_loaded: int


class Timed(msgspec.Struct, frozen=True, tag=True):
    """Seconds of each frame, on a GPU also of its stages; `processor_seconds`: CPU time of the process, all threads."""

    seconds: list[float]
    processor_seconds: float
    stages: list[Stages] = []


class Produced(msgspec.Struct, frozen=True, tag=True):
    """Frames that all streams finished together, and the elapsed seconds."""

    frames: int
    seconds: float


class LayersTimed(msgspec.Struct, frozen=True, tag=True):
    """Seconds per frame of each layer, in execution order."""

    layers: list[LayerTime]


class Saved(msgspec.Struct, frozen=True, tag=True):
    """The output was written."""


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """Peak resident bytes of the worker process, up to the last timed frame; number of nodes per executed precision;
    device: `cpu` or `cuda`."""

    peak_bytes: int
    executed: dict[str, int]
    device: str = "cpu"


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request failed."""

    reason: str
    remedy: str = ""


Request = Open | Run | Concurrent | Layers | Result | Stop
Reply = Opened | Timed | Produced | LayersTimed | Saved | Stopped | Failed


def send(stream: IO[bytes], message: Request | Reply) -> None:
    """Write a message and flush."""
    stream.write(msgspec.json.encode(message) + b"\n")
    stream.flush()


def receive(stream: IO[bytes], kind: Any) -> Any:
    """The next message, of the union type `kind`; None at the end of the stream."""
    line = stream.readline()
    return msgspec.json.decode(line, type=kind) if line else None
