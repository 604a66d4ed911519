"""The native CPU engine against ONNX Runtime and OpenVINO, against this processor's peak, and against itself.

Everything in one run: cells take turns, medians and the shortest times are compared, and only ratios, shares and bytes
are printed. With other work on the machine the shortest times are the ones to read. Frames are uint8 NHWC from host
memory to host memory, in the 4K workloads, with one thread and with two.

    python validation/bench/native.py [--seconds 8]
    python validation/bench/native.py --network ARTIFACT.onnx [--network ...] [--size 480x270]

With `--network`, other networks' float32 artifacts (of `toolkit export` or `toolkit adopt`) are compared instead of
RT4KSR, at a small size, because many of them compute twenty times as much per pixel.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.graph.analysis.work import count_work
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.native.compiler import cached_library, require_compiler
from toolkit.native.library import Library
from toolkit.native.planner import plan
from toolkit.native.targets import find_target
from toolkit.network.checkpoint import Checkpoint, load_checkpoint, untrained_checkpoint
from toolkit.precisions import Precision
from toolkit.profiling.measuring.messages import Open
from toolkit.profiling.measuring.schedule import Measurement, Pace, measure
from toolkit.system.hardware import cpu_model, usable_cpus
from toolkit.workloads import Shape, Workload, workload_for_scale

DATA = Path(os.environ.get("RT4KSR_DATA", "../shared"))
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
OTHERS: dict[Precision, tuple[str, ...]] = {
    "fp32": ("openvino", "ort-cpu"),
    "bf16": ("openvino",),
    "int8": ("openvino", "ort-cpu"),
}
WANTED = {("openvino", "fp32"): 0.62, ("ort-cpu", "fp32"): 0.45, ("openvino", "bf16"): 0.58}
WANTED_WITH_TILES = WANTED | {("openvino", "bf16"): 0.20}
SHARES = {"fp32": 0.85, "bf16": 0.75}
HEIGHTS = (270, 540, 1080, 2160)
MEGABYTE = 1 << 20
FRAMES = 9


@dataclass(frozen=True)
class Cell:
    """One runtime, precision and number of threads."""

    runtime: str
    precision: Precision
    threads: int


def main() -> None:
    parser = argparse.ArgumentParser(description="The native engine against other runtimes and the processor's peak.")
    parser.add_argument("--seconds", type=float, default=8.0, help="of measuring per cell")
    parser.add_argument("--network", action="append", type=Path, default=[], help="artifact to compare instead")
    parser.add_argument("--size", default="480x270", help="of the input of such networks, WIDTHxHEIGHT")
    options = parser.parse_args()
    seconds = options.seconds
    peak = multiply_adds()
    print(f"{cpu_model()[0]}, target {find_target('native').name}")
    if options.network:
        width, height = map(int, options.size.split("x"))
        for path in options.network:
            another(Artifact.read(path), Shape(height, width), peak, seconds)
        return
    with tempfile.TemporaryDirectory() as directory:
        for workload in filter(None, map(workload_for_scale, (3, 2))):
            artifacts = lowered(load(workload.scale or 2), Path(directory) / workload.name)
            compare(artifacts, workload, peak, seconds)
            memory(artifacts, workload)
            processor_time(artifacts, workload, peak)
        scaling(artifacts["fp32"], seconds)


def load(scale: int) -> Checkpoint:
    path = DATA / "checkpoints" / f"rt4ksr_x{scale}.pth"
    if path.is_file():
        return load_checkpoint(path)
    print(f"no {path}: measuring an untrained network")
    return untrained_checkpoint(scale)


def lowered(checkpoint: Checkpoint, directory: Path) -> dict[Precision, Artifact]:
    artifact = export(checkpoint, ExportOptions(uint8="NHWC"), directory)
    return {"fp32": artifact, "bf16": convert(artifact, "bf16"), "int8": convert(artifact, "int8")}


def multiply_adds() -> dict[str, float]:
    """Of one thread, a second, from registers, by precision; only those there are instructions for."""
    target = find_target("native")
    if target.machine != "x86_64":
        return {}
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "peak"
        source = Path(__file__).with_name("peak.cpp")
        compiler = require_compiler().path
        subprocess.run([compiler, "-std=c++17", "-O2", *target.options, source, "-o", program], check=True)
        lines = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    names = ["fp32", *sorted(target.fast)]
    return dict(zip(names, map(float, lines), strict=True))


def compare(artifacts: dict[Precision, Artifact], workload: Workload, peak: dict[str, float], seconds: float) -> None:
    threads = [count for count in (1, 2) if count <= usable_cpus()]
    measured: dict[Cell, Measurement] = {}
    for count in threads:  # all cells of a workload at a time would be too much for small machines' memory
        at_once = [
            Cell(runtime, precision, count) for precision in PRECISIONS for runtime in ("native", *OTHERS[precision])
        ]
        found = measure([asked(cell, artifacts, workload) for cell in at_once], Pace(seconds))
        measured |= dict(zip(at_once, found, strict=True))
    work = count_work(artifacts["fp32"], workload.shape).multiply_adds
    print(f"\n{workload.name}: {work / 1e9:.1f} G multiply-adds a frame")
    print("precision  threads  compared with            time  least  wanted   peak memory   frames")
    for cell in measured:
        ours = measured[Cell("native", cell.precision, cell.threads)]
        if cell.runtime == "native":
            share_of_peak(cell, ours, work, peak)
        else:
            ratio(cell, ours, measured[cell])
    if len(threads) > 1:
        for precision in PRECISIONS:
            one, two = (measured[Cell("native", precision, count)] for count in threads)
            gain = np.median(one.seconds) / np.median(two.seconds)
            print(f"{precision:<9}  two threads are {gain:.2f} times as fast as one (wanted 1.85)")


def another(artifact: Artifact, shape: Shape, peak: dict[str, float], seconds: float) -> None:
    """Ratios in float32 for one artifact, with one thread and with two."""
    work = count_work(artifact, shape).multiply_adds
    print(f"\n{artifact.manifest.name}, {shape}: {work / 1e9:.1f} G multiply-adds a frame")
    print("precision  threads  compared with            time  least  wanted   peak memory   frames")
    for threads in (count for count in (1, 2) if count <= usable_cpus()):
        cells = [Cell(runtime, "fp32", threads) for runtime in ("native", *OTHERS["fp32"])]
        requests = [
            Open(cell.runtime, str(artifact.path), "fp32", shape.height, shape.width, cell.threads) for cell in cells
        ]
        ours, *theirs = measure(requests, Pace(seconds))
        share_of_peak(cells[0], ours, work, peak)
        for cell, measured in zip(cells[1:], theirs, strict=True):
            ratio(cell, ours, measured)


def asked(cell: Cell, artifacts: dict[Precision, Artifact], workload: Workload) -> Open:
    path, (height, width) = artifacts[cell.precision].path, workload.shape.sides
    return Open(cell.runtime, str(path), cell.precision, height, width, cell.threads)


def share_of_peak(cell: Cell, ours: Measurement, work: float, peak: dict[str, float]) -> None:
    if ours.failure or cell.precision not in peak:
        print(f"{cell.precision:<9}  {cell.threads:<7}  {ours.failure or 'no instructions of its own here'}")
        return
    share = work / np.median(ours.seconds) / (cell.threads * peak[cell.precision])
    wanted = f"{SHARES[cell.precision]:.0%}" if cell.precision in SHARES else ""
    print(f"{cell.precision:<9}  {cell.threads:<7}  {'peak multiply-adds':<22}  {share:>5.1%}         {wanted:>6}")


def ratio(cell: Cell, ours: Measurement, theirs: Measurement) -> None:
    if ours.failure or theirs.failure:
        print(f"{cell.precision:<9}  {cell.threads:<7}  {cell.runtime}: {ours.failure or theirs.failure}")
        return
    time, least = (pick(ours.seconds) / pick(theirs.seconds) for pick in (np.median, np.min))
    bounds = WANTED_WITH_TILES if find_target("native").tiles else WANTED
    bound = bounds.get((cell.runtime, cell.precision))
    wanted = "" if bound is None else f"{bound:.2f}"
    bytes_ = f"{ours.peak_bytes / MEGABYTE:.0f} of {theirs.peak_bytes / MEGABYTE:.0f} MB"
    ran = "+".join(sorted(theirs.executed))
    frames = f"{len(ours.seconds)}, {len(theirs.seconds)}"
    print(f"{cell.precision:<9}  {cell.threads:<7}  {f'{cell.runtime} ({ran})':<22}  {time:>5.2f}  {least:>5.2f}"
          f"  {wanted:>6}  {bytes_:>13}  {frames:>7}")  # fmt: skip


def memory(artifacts: dict[Precision, Artifact], workload: Workload) -> None:
    """Line buffers a thread: at the workload, and at twice its width and height."""
    for precision, artifact in artifacts.items():
        library = loaded(artifact)
        sizes = [tuple(factor * side for side in workload.shape.sides) for factor in (1, 2)]
        found = [library.engine(*size, 1).working_bytes / MEGABYTE for size in sizes]
        texts = [f"{size[0]}x{size[1]}: {mega:.1f} MB" for size, mega in zip(sizes, found, strict=True)]
        print(f"{precision:<9}  line buffers a thread, {', '.join(texts)} (wanted: at most 8)")


def processor_time(artifacts: dict[Precision, Artifact], workload: Workload, peak: dict[str, float]) -> None:
    """Share of the peak in time that the processor really gave: the same on a machine that others use too."""
    work = count_work(artifacts["fp32"], workload.shape).multiply_adds
    height, width = workload.shape.sides
    spent: dict[tuple[Precision, int], list[float]] = {}
    engines = {
        (precision, threads): loaded(artifact).engine(height, width, threads)
        for precision, artifact in artifacts.items()
        for threads in (1, 2)
    }
    frame = np.random.default_rng(0).integers(0, 256, (1, height, width, 3)).astype(np.uint8)
    output = np.empty((1, *(side * (workload.scale or 2) for side in (height, width)), 3), np.uint8)
    for _ in range(FRAMES):
        for key, engine in engines.items():
            begin = time.process_time()
            engine.run(frame, output)
            spent.setdefault(key, []).append(time.process_time() - begin)
    for precision in artifacts:
        one, two = (float(np.median(spent[precision, threads])) for threads in (1, 2))
        share = f"{work / one / peak[precision]:.1%} of the peak" if precision in peak else "no peak known"
        print(f"{precision:<9}  in processor time: {share}; two threads spend {two / one:.3f} times what one does")


def loaded(artifact: Artifact) -> Library:
    program = plan(artifact.path, artifact.manifest)
    return Library(cached_library(program, artifact.manifest, find_target("native")), artifact.manifest.name)


def scaling(artifact: Artifact, seconds: float) -> None:
    """Time a row at several heights: linear is the same everywhere; and what more processors would make of it."""
    requests = [Open("native", str(artifact.path), "fp32", height, 1920, 1) for height in HEIGHTS]
    measured = measure(requests, Pace(seconds))
    if any(result.failure for result in measured):
        raise Unavailable(next(result.failure for result in measured if result.failure))
    a_row = [np.median(result.seconds) / height for result, height in zip(measured, HEIGHTS, strict=True)]
    relative = ", ".join(f"{height}: {time / a_row[-1]:.3f}" for height, time in zip(HEIGHTS, a_row, strict=True))
    print(f"\ntime a row, by rows of the frame, against {HEIGHTS[-1]} rows: {relative}")
    on_paper(plan(artifact.path, artifact.manifest).halo)


def on_paper(halo: int, rows: int = 540) -> None:
    """What more processors would make of 1080 rows: a band reads rows of its neighbours, and computes them itself.

    Early layers compute `halo` rows more at either side of a band and the last none, half of that on average.
    """
    for cores in (16, 64):
        bands = min(cores, rows // halo)
        useful = rows / bands / (rows / bands + halo)
        gain = f"{useful:.0%} of the work useful: {bands * useful:.0f} times one thread"
        print(f"on paper, {cores} cores: {bands} bands, {gain}")


if __name__ == "__main__":
    main()
