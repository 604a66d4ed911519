"""What becomes of every picture of a folder: written, refused for a reason, or a fault of ours.

    python validation/pictures.py FOLDER [--model PATH] [--largest 262144] [--seconds 60] [--memory 4096] [--workers 2]

Every file goes through `toolkit.upscale` in a process of its own pool, with a limit of time and of memory: a picture
that kills or hangs its process is counted, and the others go on. Results are written to a temporary folder and read
again. Pictures with more pixels than --largest are read, and not upscaled. Videos are left out.

Exits with 1 where there is a traceback, a crash, a file that takes too long, or a result that cannot be read.
A suite to try: the folder Tests/images of the source distribution of Pillow.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import resource
import sys
import tempfile
import threading
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from toolkit import ToolkitError, UnexpectedError, UpscaleOptions, upscale
from toolkit.images.reading import is_picture, read_picture

_FAULTS = ("traceback", "crash", "too long", "result cannot be read")


@dataclass(frozen=True)
class Outcome:
    """What became of a file: `done`, `read` (too large to upscale here), `refused`, or a fault; and why."""

    path: Path
    kind: str
    reason: str = ""
    notes: tuple[str, ...] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, help="artifact; else the bundled network")
    parser.add_argument("--largest", type=int, default=512 * 512, help="pixels of a picture that is upscaled")
    parser.add_argument("--seconds", type=float, default=60.0, help="that a file may take")
    parser.add_argument("--memory", type=int, default=4096, help="MiB of address space of a process")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    paths = sorted(path for path in given.folder.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory() as place:
        outcomes = run(
            paths, Settings(given.model, given.largest, given.memory, Path(place)), given.workers, given.seconds
        )
    report(outcomes)
    if any(outcome.kind in _FAULTS for outcome in outcomes):
        sys.exit(1)


@dataclass(frozen=True)
class Settings:
    """What a worker is given at its start."""

    model: Path | None
    largest: int
    memory: int
    place: Path


def run(paths: list[Path], settings: Settings, workers: int, seconds: float) -> list[Outcome]:
    """Outcomes in the order of paths."""
    outcomes: dict[Path, Outcome] = {}
    queue, lock = iter(paths), threading.Lock()

    def take() -> Path | None:
        with lock:
            return next(queue, None)

    def drive() -> None:
        worker = Worker(settings)
        while (path := take()) is not None:
            outcome = worker.ask(path, seconds)
            outcomes[path] = outcome
            if outcome.kind in ("crash", "too long"):
                worker.end()
                worker = Worker(settings)
        worker.end()

    threads = [threading.Thread(target=drive) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[path] for path in paths]


class Worker:
    """A process that upscales one file after the other."""

    _START = 300.0
    """Seconds that loading the network may take."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._end, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, settings), daemon=True)
        self._process.start()
        theirs.close()
        if not self._end.poll(self._START) or self._end.recv() != "ready":
            raise RuntimeError("a worker does not start")

    def ask(self, path: Path, seconds: float) -> Outcome:
        """The outcome for one file."""
        self._end.send(path)
        if not self._end.poll(seconds):
            return Outcome(path, "too long", f"more than {seconds:.0f} s")
        try:
            outcome = self._end.recv()
        except EOFError:
            self._process.join()
            return Outcome(path, "crash", f"the process ended with {self._process.exitcode}")
        if not isinstance(outcome, Outcome):
            raise TypeError(type(outcome).__name__)
        return outcome

    def end(self) -> None:
        """Whatever it does."""
        self._process.kill()
        self._process.join()


def work(end: Connection, settings: Settings) -> None:
    """Answer paths with outcomes, in a process with limited memory."""
    resource.setrlimit(resource.RLIMIT_AS, (settings.memory << 20, settings.memory << 20))
    models = () if settings.model is None else (settings.model,)
    options = UpscaleOptions(models=models, threads=1, overwrite=True)
    end.send("ready")
    while True:
        try:
            path = end.recv()
        except EOFError:
            return
        end.send(tried(path, settings, options))


def tried(path: Path, settings: Settings, options: UpscaleOptions) -> Outcome:
    """What becomes of a file."""
    try:
        if not is_picture(path):
            return Outcome(path, "no picture")
        picture = read_picture(path)
        height, width = picture.samples.shape[:2]
        if height * width > settings.largest:
            return Outcome(path, "read", notes=picture.notes)
        suffix = path.suffix if path.suffix.lower() in (".jpg", ".webp", ".avif", ".tif") else ".png"
        target = settings.place / f"{multiprocessing.current_process().pid}{suffix}"
        (done,) = upscale([path], target, options).files
    except UnexpectedError as error:
        return Outcome(path, "traceback", "".join(traceback.format_exception(error.__cause__ or error)))
    except ToolkitError as error:
        return Outcome(path, "refused", f"{error.args[0]}".replace(str(path), "FILE"))
    except Exception:  # noqa: BLE001  (what is counted here)
        return Outcome(path, "traceback", traceback.format_exc())
    try:
        read_picture(target)
    except ToolkitError as error:
        return Outcome(path, "result cannot be read", str(error))
    return Outcome(path, "done", notes=done.notes)


def report(outcomes: list[Outcome]) -> None:
    """Counts, then refusals by reason, notes by kind, and faults in full."""
    counts = Counter(outcome.kind for outcome in outcomes)
    print(f"{len(outcomes)} files: " + ", ".join(f"{count} {kind}" for kind, count in counts.most_common()))
    print(f"{counts['traceback']} tracebacks, {counts['crash']} crashes, {counts['too long']} too long")
    grouped: dict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.kind == "refused":
            grouped[_without_numbers(outcome.reason)].append(outcome.path.name)
    print("\nrefused, by reason:")
    for reason, names in _by_size(grouped):
        print(f"{len(names):4}  {reason}\n        {', '.join(names[:8])}{' …' if len(names) > 8 else ''}")
    notes = Counter(_without_numbers(note.partition(": ")[2] or note) for outcome in outcomes for note in outcome.notes)
    print("\nnotes:")
    for note, count in notes.most_common():
        print(f"{count:4}  {note}")
    for outcome in outcomes:
        if outcome.kind in _FAULTS:
            print(f"\n{outcome.kind}: {outcome.path}\n{outcome.reason}")


def _by_size(grouped: dict[str, list[str]]) -> Iterator[tuple[str, list[str]]]:
    return iter(sorted(grouped.items(), key=lambda item: (-len(item[1]), item[0])))


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "N", text)


if __name__ == "__main__":
    main()
