"""One cell in a process of its own: `python -m toolkit.profiling.worker`, spoken to through stdin and stdout."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Artifact
from toolkit.errors import ToolkitError
from toolkit.profiling.messages import Failed, Open, Opened, Reply, Request, Run, Stopped, Timed, receive, send
from toolkit.runtimes.protocol import Session, SessionOptions, frame_shape
from toolkit.runtimes.registry import find_runtime, load_engine
from toolkit.workloads import Shape


class Cell:
    """A session and the frame it is fed."""

    def __init__(self, request: Open) -> None:
        find_runtime(request.runtime).probe()  # takes a while for some, and is remembered: no part of loading
        begin = time.perf_counter()
        self._session = _load(request)
        shape = Shape(request.height, request.width)
        self._session.bind(shape)
        self._frame = noise_frame(self._session.artifact, shape)
        self._session.run(self._frame)
        self.load_seconds = time.perf_counter() - begin

    def executed(self) -> dict[str, int]:
        """Number of nodes per precision that really ran."""
        return dict(Counter(node.precision for node in self._session.executed().values()))

    def time(self, frames: int) -> list[float]:
        """Seconds from handing over a frame in host memory to having its result there."""
        seconds = []
        for _ in range(frames):
            begin = time.perf_counter()
            self._session.run(self._frame)
            seconds.append(time.perf_counter() - begin)
        return seconds


def _load(request: Open) -> Session:
    options = SessionOptions(request.threads)
    if request.engine:
        return load_engine(request.path, options)
    precision: Any = request.precision
    return find_runtime(request.runtime).load(Artifact.read(request.path), options, precision)


def noise_frame(artifact: Artifact, shape: Shape) -> NDArray[Any]:
    """A frame of seeded noise, as the artifact's input port says."""
    port = artifact.manifest.input
    grey = np.random.default_rng(0).integers(0, 256, frame_shape(shape, port.layout), np.uint8)
    return grey if port.dtype == "uint8" else (grey / np.float32(255)).astype(np.float32)


def peak_bytes() -> int:
    """Peak resident memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux its peak includes that of the parent at the moment of the fork.
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Answer requests until `Stop` or the end of the stream."""
    cell: Cell | None = None
    while (request := receive(requests, Request)) is not None:
        reply: Reply
        match request:
            case Open():
                try:
                    cell = Cell(request)
                    reply = Opened(cell.load_seconds)
                except ToolkitError as error:
                    reply = Failed(error.args[0], error.remedy)
            case Run(frames):
                reply = Failed("asked to run before anything was opened") if cell is None else Timed(cell.time(frames))
            case _:
                # The peak first: reading back what ran may open a second session.
                peak = peak_bytes()
                send(replies, Stopped(peak, {} if cell is None else cell.executed()))
                return
        send(replies, reply)


def main() -> None:
    """Keep stdout for replies: native libraries print there."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
