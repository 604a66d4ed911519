"""Runs cases, each in a fork of this process, which has imported everything and computed nothing.

`python -P tests/fuzz/zygote.py` reads requests from standard input, one JSON line each, and answers each with one.
A case that crashes, hangs, or takes too much memory is an answer too.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

import av  # noqa: F401
import onnx.reference  # noqa: F401
import onnx_ir  # noqa: F401
import onnxruntime  # noqa: F401
import torch._dynamo  # noqa: F401  (optimizers import it when they load a state)
from fuzz import cases

import toolkit.graph.precision.convert
import toolkit.graph.rehearsal
import toolkit.media.upscale
import toolkit.profiling.gate
import toolkit.runtimes.registry
import toolkit.runtimes.rehearsal
import toolkit.runtimes.rehearsal_process
import toolkit.training.state
from toolkit.errors import ToolkitError
from toolkit.system import isolated
from toolkit.system.foreign import first_line
from toolkit.workloads import Shape

_INTERVAL = 0.01


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run a case; outcome: accepted, refused, traceback, crash, hang or large; with the peak of its memory."""
    path, output = Path(request["path"]), Path(request["output"])
    result = output.parent / "result.json"
    result.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        _run(request["kind"], path, output, result)
    code, peak, limit = _watch(child, request["seconds"], request["memory"])
    if limit:
        return {"outcome": limit, "detail": "", "peak": peak}
    if os.WIFSIGNALED(code) or not result.is_file():
        name = signal.Signals(os.WTERMSIG(code)).name if os.WIFSIGNALED(code) else f"exit code {code >> 8}"
        return {"outcome": "crash", "detail": name, "peak": peak}
    return {**json.loads(result.read_text()), "peak": peak}


def _run(kind: str, path: Path, output: Path, result: Path) -> None:
    """In the fork: never returns."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        cases.ENTRIES[kind](path, output)
        found = {"outcome": "accepted", "detail": ""}
    except ToolkitError as error:
        found = {"outcome": "refused", "detail": str(error)}
    except BaseException:  # noqa: BLE001  (what it is, is the answer)
        found = {"outcome": "traceback", "detail": traceback.format_exc()}
    result.write_text(json.dumps(found))
    os._exit(0)


def _watch(child: int, seconds: float, memory: int) -> tuple[int, int, str]:
    """Exit status, peak of resident memory (with the imported libraries), and the limit that was reached."""
    deadline, peak = time.monotonic() + seconds, 0
    process = psutil.Process(child)
    while True:
        done, code, used = os.wait4(child, os.WNOHANG)
        if done:
            return code, max(peak, used.ru_maxrss * 1024), "large" if used.ru_maxrss * 1024 > memory else ""
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
        limit = "large" if peak > memory else "hang" if time.monotonic() > deadline else ""
        if limit:
            for item in (*process.children(recursive=True), process):
                item.kill()
            os.waitpid(child, 0)
            return 0, peak, limit
        time.sleep(_INTERVAL)


def _forked(arguments: list[str], given: bytes = b"", *, seconds: float, memory: int | None = None) -> isolated.Ended:
    """What `run_isolated` does, in a fork instead of a new process: without imports, a hundredth of the time."""
    reason, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writing, 1)
        try:
            if arguments[1] == "toolkit.graph.rehearsal":
                toolkit.graph.rehearsal.main(Path(arguments[2]))
            else:
                source, target = os.pipe()
                os.write(target, given[: 1 << 16])
                os.close(target)
                os.dup2(source, 0)
                sys.stdin = os.fdopen(0)
                sys.stdout = os.fdopen(1, "w")
                name, path, height, width = arguments[2:]
                toolkit.runtimes.rehearsal_process.main(name, Path(path), Shape(int(height), int(width)))
                sys.stdout.flush()
        except BaseException as error:  # noqa: BLE001  (what it is, is the answer)
            os.write(writing, b"\n!" + first_line(error).encode(errors="replace"))
            os._exit(1)
        os._exit(0)
    os.close(writing)
    code, _, limit = _watch(child, seconds, memory or 1 << 40)
    with os.fdopen(reason, "rb") as stream:
        output, _, complaint = stream.read().decode(errors="replace").partition("\n!")
    if limit:
        return isolated.Ended("late" if limit == "hang" else "large", output, limit)
    if os.WIFSIGNALED(code):
        return isolated.Ended("crashed", output, signal.Signals(os.WTERMSIG(code)).name)
    return isolated.Ended("failed" if code else "done", output, complaint)


def main() -> None:
    for module in (toolkit.graph.reading, toolkit.runtimes.rehearsal):
        module.run_isolated = _forked  # type: ignore[attr-defined]
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
