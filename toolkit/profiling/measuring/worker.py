"""Worker process that measures one cell: `python -m toolkit.profiling.measuring.worker`, controlled over stdin."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ToolkitError
from toolkit.kinds import kind_of
from toolkit.profiling.measuring.messages import (
    Concurrent,
    Failed,
    Layers,
    LayersTimed,
    Open,
    Opened,
    Produced,
    Reply,
    Request,
    Result,
    Run,
    Saved,
    Stopped,
    Timed,
    receive,
    send,
)
from toolkit.runtimes.protocol import Session
from toolkit.runtimes.registry import find_runtime
from toolkit.runtimes.reported import Stages
from toolkit.runtimes.subject import Subject, read_source
from toolkit.workloads import Shape


class Cell:
    """A session and its input frame."""

    def __init__(self, request: Open) -> None:
        find_runtime(request.runtime).probe()  # slow for some runtimes, and cached: not part of the load time
        if kind_of(Path(request.path)) == "artifact":  # engines are read when they are loaded, which is timed
            _subject(request, request.threads).rehearse()
        before = resident_bytes()
        begin = time.perf_counter()
        if request.cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, request.cpus)  # before the runtime creates its threads
        self._request = request
        self._session = _bound(request, request.threads)
        load_seconds = time.perf_counter() - begin
        self._frame = self._session.contract.input.noise(_shape(request), np.random.default_rng(0))
        self._run = _pass(self._session, self._frame, request.boundary)
        begin = time.perf_counter()
        self._run()
        self.opened = Opened(load_seconds, time.perf_counter() - begin, before, resident_bytes())
        self._peak = peak_bytes()

    def stop(self) -> Stopped:
        """Peak memory, executed precisions and device."""
        precisions = Counter(node.precision for node in self._session.executed().values())
        return Stopped(self._peak, dict(precisions), "cuda" if find_runtime(self._request.runtime).on_gpu else "cpu")

    def time(self, frames: int) -> Timed:
        """Time frames one after the other, from one side of the boundary to the other."""
        run, clock, session = self._run, time.perf_counter, self._session
        seconds: list[float] = []
        stages: list[Stages] = []
        used = time.process_time()
        for _ in range(frames):
            begin = clock()
            run()
            seconds.append(clock() - begin)
            if (spent := session.stages()) is not None:
                stages.append(spent)
        used = time.process_time() - used
        # Read it now: streams, layers and reading back executed precisions open further sessions.
        self._peak = peak_bytes()
        return Timed(seconds, used, stages)

    def concurrent(self, streams: int, seconds: float) -> Produced:
        """Throughput of several concurrent sessions, each with its share of the threads.

        The time is from a common start until the last session ends.
        """
        threads = max(1, self._request.threads // streams)
        sessions = [_bound(self._request, threads) for _ in range(streams)]
        runs = [_pass(session, self._frame, self._request.boundary) for session in sessions]
        for run in runs:
            run()
        start, done, errors = threading.Barrier(streams + 1), [0] * streams, list[BaseException]()

        def work(index: int) -> None:
            start.wait()
            end = time.perf_counter() + seconds
            try:
                while done[index] == 0 or time.perf_counter() < end:
                    runs[index]()
                    done[index] += 1
            except BaseException as error:  # noqa: BLE001  (raised again on the main thread)
                errors.append(error)

        workers = [threading.Thread(target=work, args=(index,)) for index in range(streams)]
        for worker in workers:
            worker.start()
        start.wait()
        begin = time.perf_counter()
        for worker in workers:
            worker.join()
        if errors:
            raise errors[0]
        return Produced(sum(done), time.perf_counter() - begin)

    def layers(self, frames: int) -> LayersTimed:
        """Seconds per layer, as reported by the runtime's own profiler."""
        return LayersTimed(self._session.layer_times(self._frame, frames))

    def save(self, path: Path) -> Saved:
        """Write the session's output for the frame as an .npy file."""
        np.save(path, self._session.run(self._frame))
        return Saved()


def _bound(request: Open, threads: int) -> Session:
    session = _subject(request, threads).load()
    session.bind(_shape(request))
    return session


def _subject(request: Open, threads: int) -> Subject:
    return Subject(read_source(Path(request.path)), request.runtime, threads, request.precision)


def _shape(request: Open) -> Shape:
    return Shape(request.height, request.width)


def _pass(session: Session, frame: NDArray[Any], boundary: str) -> Callable[[], object]:
    """A function that runs one frame, with the copies and conversions that the boundary includes."""
    if boundary == "compute":
        session.place(frame)
        return session.compute
    if boundary == "host":
        return lambda: session.run(frame)
    given, returned = session.contract.input, session.contract.output
    image = given.to_image(frame)
    return lambda: returned.to_image(session.run(given.from_image(image)))


def peak_bytes() -> int:
    """Peak resident memory of this process in bytes."""
    if (peak := _status("VmHWM:")) is not None:
        # Not getrusage: on Linux its peak includes the parent's memory at the time of the fork.
        return peak
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_bytes() -> int:
    """Current resident memory of this process in bytes."""
    if (resident := _status("VmRSS:")) is not None:
        return resident
    import psutil

    return psutil.Process().memory_info().rss


def _status(field: str) -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Reply to requests until `Stop` or the end of the stream."""
    cell: Cell | None = None
    while (request := receive(requests, Request)) is not None:
        try:
            if isinstance(request, Open):
                cell = Cell(request)
                reply: Reply = cell.opened
            else:
                reply = _answer(cell, request)
        except ToolkitError as error:
            reply = Failed(error.args[0], error.remedy)
        send(replies, reply)
        if isinstance(reply, Stopped):
            return


def _answer(cell: Cell | None, request: Request) -> Reply:
    if cell is None:
        return Failed("a request arrived before Open")
    match request:
        case Run(frames):
            return cell.time(frames)
        case Concurrent(streams, seconds):
            return cell.concurrent(streams, seconds)
        case Layers(frames):
            return cell.layers(frames)
        case Result(path):
            return cell.save(Path(path))
        case _:
            return cell.stop()


def main() -> None:
    """Run a worker; replies go to the original stdout, and prints of native libraries to stderr."""
    # A crash writes its stack to stderr, and so does SIGUSR1, which is sent before a hanging worker is killed.
    faulthandler.enable()
    if hasattr(signal, "SIGUSR1"):
        faulthandler.register(signal.SIGUSR1)
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
