"""The engine against itself: memory, processor time, and frames of other heights."""

from __future__ import annotations

import time

import numpy as np
from native_engine.cells import in_turns
from native_engine.networks import Lowered, works
from native_engine.peak import Peak
from native_engine.table import MEGABYTE

from toolkit.artifact import Artifact
from toolkit.errors import Unavailable
from toolkit.native.compiler import cached_library
from toolkit.native.library import Library
from toolkit.native.planner import plan
from toolkit.native.targets import find_target
from toolkit.precisions import Precision
from toolkit.profiling.measuring.messages import Open
from toolkit.workloads import Shape, Workload

HEIGHTS = (270, 540, 1080, 2160)
FRAMES = 9


def memory(artifacts: Lowered, workload: Workload) -> None:
    """Line buffers per thread: at the workload, and at twice its width and height."""
    for precision, artifact in artifacts.items():
        library = _loaded(artifact)
        sizes = [Shape(*(factor * side for side in workload.shape.sides)) for factor in (1, 2)]
        found = [library.engine(*size.sides, 1).working_bytes / MEGABYTE for size in sizes]
        texts = [f"{size}: {mega:.1f} MB" for size, mega in zip(sizes, found, strict=True)]
        print(f"{precision:<9}  line buffers per thread, {', '.join(texts)} (wanted: at most 8)")


def processor_time(artifacts: Lowered, workload: Workload, peak: Peak) -> None:
    """Share of the peak in time that the processor really gave, which other processes do not shorten."""
    counted, shape = works(artifacts, workload.shape), workload.shape
    spent: dict[tuple[Precision, int], list[float]] = {}
    engines = {
        (precision, threads): _loaded(artifact).engine(*shape.sides, threads)
        for precision, artifact in artifacts.items()
        for threads in (1, 2)
    }
    manifest = artifacts["fp32"].manifest
    frame = manifest.input.noise(shape, np.random.default_rng(0))
    output = manifest.output.empty(shape.upscaled(manifest.network.scale))
    peak.clear()
    for _ in range(FRAMES):
        peak.sample(1)
        for key, engine in engines.items():
            begin = time.process_time()
            engine.run(frame, output)
            spent.setdefault(key, []).append(time.process_time() - begin)
    rates = next((ceiling.multiply_adds_per_second for ceiling in peak.best()), {})
    for precision in artifacts:
        one, two = (float(np.median(spent[precision, threads])) for threads in (1, 2))
        share = (
            f"{counted[precision].executed / one / rates[precision]:.1%} of the peak"
            if precision in rates
            else "no peak known"
        )
        print(f"{precision:<9}  in processor time: {share}; two threads spend {two / one:.3f} times what one does")


def heights(artifact: Artifact, seconds: float, peak: Peak) -> None:
    """Time per row at several heights, which is the same if time is linear; and what more CPUs would make of it."""
    requests = [Open("native", str(artifact.path), "fp32", height, 1920, 1) for height in HEIGHTS]
    measured = in_turns(requests, seconds, peak, 1)
    if any(result.failure for result in measured):
        raise Unavailable(next(result.failure for result in measured if result.failure))
    a_row = [np.median(result.seconds) / height for result, height in zip(measured, HEIGHTS, strict=True)]
    relative = ", ".join(f"{height}: {time / a_row[-1]:.3f}" for height, time in zip(HEIGHTS, a_row, strict=True))
    print(f"\ntime per row, by rows of the frame, compared with {HEIGHTS[-1]} rows: {relative}")
    _seams(plan(artifact.path, artifact.manifest).halo)


def _seams(halo: int, rows: int = 540) -> None:
    """What more CPUs would make of 1080 rows: a band reads rows of its neighbours, and computes them itself.

    Early layers compute `halo` rows more at either side of a band and the last none, half of that on average.
    """
    for cores in (16, 64):
        bands = min(cores, rows // halo)
        useful = rows / bands / (rows / bands + halo)
        gain = f"{useful:.0%} of the work useful: {bands * useful:.0f} times one thread"
        print(f"on paper, {cores} cores: {bands} bands, {gain}")


def _loaded(artifact: Artifact) -> Library:
    program = plan(artifact.path, artifact.manifest)
    return Library(cached_library(program, artifact.manifest, find_target("native")), artifact.manifest.name)
