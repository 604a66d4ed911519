"""What the profiler's harness costs, and whether its medians are those of others.

    python validation/bench/harness.py [--seconds 40] [--workload 1080p-4k]

Three comparisons, each of the same network on the same processors with the same threads:

1. The worker's loop against a bare loop around the runtime's own call, in one process and in turns: its cost as a share
   of a frame, for a full frame and for one so small that the cost would show.
2. The profiler's median for ONNX Runtime against a plain loop over `InferenceSession.run_with_iobinding` in another
   process.
3. The profiler's median for OpenVINO against `benchmark_app`, which comes with the openvino package.

Others run between the profiler's rounds, so that what shakes the machine shakes both.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.network.bundled import bundled_checkpoint
from toolkit.profiling.measuring.environment import choose_cpus
from toolkit.profiling.measuring.messages import Open
from toolkit.profiling.measuring.schedule import Pace, measure
from toolkit.profiling.measuring.statistics import independent_ratio, paired_ratio
from toolkit.profiling.measuring.worker import Cell
from toolkit.profiling.options import ProfileOptions
from toolkit.profiling.script import profile_script
from toolkit.system.hardware import usable_cpus
from toolkit.workloads import WORKLOADS, Shape

SMALL = Shape(32, 32)
ROUNDS = 8
"""In which the profiler and another take turns."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0, help="of measuring for each side")
    parser.add_argument("--workload", choices=("720p-4k", "1080p-4k"), default="1080p-4k")
    given = parser.parse_args()
    workload = WORKLOADS[given.workload]
    with tempfile.TemporaryDirectory() as place:
        checkpoint = bundled_checkpoint(workload.scale or 2)
        artifact = export(checkpoint, ExportOptions(shape=workload.shape, name="static"), Path(place))
        small = export(checkpoint, ExportOptions(shape=SMALL, name="small"), Path(place))
        print("1. the worker's loop against a bare loop around ONNX Runtime")
        for subject, shape in ((artifact, workload.shape), (small, SMALL)):
            cost(subject, shape, given.seconds)
        print("2. the profiler's median against ONNX Runtime's own loop")
        agreement(artifact, workload.shape, "ort-cpu", given.seconds, lambda seconds: own_loop(artifact, seconds))
        print("3. the profiler's median against benchmark_app")
        agreement(artifact, workload.shape, "openvino", given.seconds, lambda seconds: benchmark_app(artifact, seconds))


def request(artifact: Artifact, shape: Shape, runtime: str) -> Open:
    threads = usable_cpus()
    cpus = choose_cpus(threads)
    return Open(runtime, str(artifact.path), "fp32", *shape.sides, threads, False, "host", cpus)


def cost(artifact: Artifact, shape: Shape, seconds: float) -> None:
    """Both loops in turns, on the same session."""
    cell = Cell(request(artifact, shape, "ort-cpu"))
    run = cell._session._session.run_with_iobinding  # type: ignore[attr-defined]
    binding = cell._session._binding  # type: ignore[attr-defined]

    def bare(frames: int) -> list[float]:
        times = []
        for _ in range(frames):
            begin = time.perf_counter()
            run(binding)
            times.append(time.perf_counter() - begin)
        return times

    frames = max(1, round(0.2 / float(np.median(bare(3)))))
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    wall_ours = wall_theirs = 0.0
    while wall_ours < seconds:
        begin = time.perf_counter()
        ours.append(cell.time(frames).seconds)
        middle = time.perf_counter()
        theirs.append(bare(frames))
        wall_ours += middle - begin
        wall_theirs += time.perf_counter() - middle
    ratio, interval = independent_ratio(ours, theirs)
    ends = "" if interval is None else f" ({interval.low - 1:+.2%} to {interval.high - 1:+.2%})"
    # What passes between frames counts too: it is in the wall time, and in no frame's.
    loops = wall_ours / wall_theirs - 1
    print(
        f"  {shape}: frame {1000 * float(np.median(theirs)):.3f} ms; median {ratio - 1:+.2%}{ends}; loop {loops:+.2%}"
    )


def agreement(
    artifact: Artifact, shape: Shape, runtime: str, seconds: float, other: Callable[[float], float | None]
) -> None:
    """Both in turns, each time in processes of their own."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        (result,) = measure([request(artifact, shape, runtime)], Pace(seconds / ROUNDS, precision=1e-9))
        if result.failure:
            print(f"  {result.failure}")
            return
        ours.append(np.concatenate(result.times).tolist())
        if (median := other(seconds / ROUNDS)) is None:
            return
        theirs.append([median])
    ratio, interval = paired_ratio(theirs, ours)
    ends = "" if interval is None else f", interval {interval.low - 1:+.1%} to {interval.high - 1:+.1%}"
    agree = interval is not None and interval.low <= 1 <= interval.high
    print(f"  profiler {1000 * float(np.median(np.concatenate(ours))):.2f} ms; other {ratio - 1:+.1%}{ends}")
    print(f"  they {'agree' if agree else 'do NOT agree'}")


def own_loop(artifact: Artifact, seconds: float) -> float:
    """Seconds of a frame in the script that `toolkit profile --gen` writes, which uses onnxruntime alone."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "cell.py"
        profile_script([artifact], ["ort-cpu"], options=ProfileOptions(seconds), path=path)
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    return float(re.search(r"median ([\d.]+) ms", done.stdout)[1]) / 1000  # type: ignore[index]


def benchmark_app(artifact: Artifact, seconds: float) -> float | None:
    """Median seconds of a frame, by OpenVINO's own tool, in the same precision with one stream."""
    program = shutil.which(
        "benchmark_app", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    if program is None:
        print("  there is no benchmark_app: pip install openvino")
        return None
    options = [
        "-d",
        "CPU",
        "-api",
        "sync",
        "-hint",
        "none",
        "-nstreams",
        "1",
        "-infer_precision",
        "f32",
        "-ip",
        "f32",
        "-op",
        "f32",
    ]
    options += ["-nthreads", str(usable_cpus()), "-t", str(max(1, round(seconds)))]
    done = subprocess.run([program, "-m", str(artifact.path), *options], capture_output=True, text=True, check=False)
    if (match := re.search(r"Median:\s+([\d.]+) ms", done.stdout)) is None:
        print(f"  benchmark_app told no median: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        return None
    return float(match[1]) / 1000


if __name__ == "__main__":
    main()
