"""The native CPU engine against ONNX Runtime and OpenVINO, against this machine's peak, and against itself.

Everything in one run: cells take turns, also with programs that measure the CPU's peak and the speed of memory; medians
and the shortest times are compared, and ratios, shares and bytes are printed. With other work on the machine the
shortest times are the ones to read. Frames are uint8 NHWC from host memory to host memory, in the 4K workloads, with
one thread and with two.

    python validation/bench/native.py [--seconds 8]
    python validation/bench/native.py --network ARTIFACT.onnx [--network ...] [--size 480x270]
    python validation/bench/native.py --models [--precisions fp32]
    python validation/bench/native.py --instructions [--network ...] [--models]
    python validation/bench/native.py --film 2
    python validation/bench/native.py --video

`--network` compares other networks' float32 artifacts (of `toolkit export` or `toolkit adopt`) instead of RT4KSR, at a
small size, because many of them compute twenty times as much per pixel; `--models` all networks in the data directory.
They are converted to bf16 and int8 too. `--instructions` counts instructions per output pixel instead of measuring
time. `--film SECONDS` upscales the beginning of the film in the data directory, with encoding. `--video` compares
frames in luma and chroma with the way through RGB.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from native_engine import cores, itself, table
from native_engine.cells import OTHERS, Cell, in_turns, thread_counts
from native_engine.default_openvino import DefaultOpenVino, lowers_precision
from native_engine.film import SCALE, film
from native_engine.instructions import find_counter, instructions
from native_engine.networks import PRECISIONS, Lowered, lowered, own, refused, shared, works
from native_engine.peak import Peak
from native_engine.video import video

from toolkit.artifact import Artifact
from toolkit.cli.values import precisions
from toolkit.graph.analysis.work import Work
from toolkit.native.targets import find_target
from toolkit.precisions import Precision
from toolkit.profiling.measuring.schedule import Measurement
from toolkit.system.hardware import cpu_model
from toolkit.workloads import Shape, Workload, parse_shape, workload_for_scale


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0, help="of measuring per cell")
    parser.add_argument("--network", action="append", type=Path, default=[], help="artifact to compare instead")
    parser.add_argument("--models", action="store_true", help="compare the networks of others in the data directory")
    parser.add_argument("--size", default="480x270", help="of the input of such networks, WIDTHxHEIGHT")
    parser.add_argument("--precisions", default="fp32,bf16,int8", help="of such networks; converting takes minutes")
    parser.add_argument("--instructions", action="store_true", help="count instructions instead")
    parser.add_argument("--film", type=float, metavar="SECONDS", help="upscale so much of a film instead")
    parser.add_argument("--video", action="store_true", help="compare frames of video instead")
    parser.add_argument("--rounds", type=int, default=3, help="of the film")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # also into a file
    print(f"{cpu_model()[0]}, target {find_target('native').name}")
    with tempfile.TemporaryDirectory() as place, Peak() as peak:
        directory = Path(place)
        if given.film:
            film(own(SCALE, directory), given.film, given.rounds, directory)
        elif given.video:
            for workload in workloads():
                artifacts = own(workload.scale or 2, directory / workload.name)
                video(artifacts, workload.shape, workload.name, given.seconds)
        elif given.instructions:
            count(subjects(given, directory), directory)
        elif given.network or given.models:
            for artifacts in others(given, directory):
                another(artifacts, parse_shape(given.size), peak, given.seconds)
        else:
            compare_own(directory, peak, given.seconds)


def compare_own(directory: Path, peak: Peak, seconds: float) -> None:
    """RT4KSR in the 4K workloads, and the engine against itself."""
    for workload in workloads():
        artifacts = own(workload.scale or 2, directory / workload.name)
        measured = compare(artifacts, workload.shape, workload.name, peak, seconds)
        print(*cores.scaling(measured), *cores.more_threads(artifacts, workload, seconds, peak), sep="\n")
        itself.memory(artifacts, workload)
        itself.processor_time(artifacts, workload, peak)
    itself.heights(artifacts["fp32"], seconds, peak)


def workloads() -> Iterator[Workload]:
    """The 4K workloads, from x3 to x2."""
    yield from filter(None, map(workload_for_scale, (3, 2)))


def others(given: argparse.Namespace, directory: Path) -> Iterator[Lowered]:
    """Networks of others, with their conversions; those that the engine refuses are named with the reason."""
    for artifact in itertools.chain(map(Artifact.read, given.network), shared(directory) if given.models else ()):
        if why := refused(artifact):
            print(f"\n{artifact.manifest.name}: the engine does not take it: {why}")
        else:
            yield lowered(artifact, precisions(given.precisions), directory)


def subjects(given: argparse.Namespace, directory: Path) -> Iterator[Lowered]:
    """Networks whose instructions are counted."""
    if given.network or given.models:
        yield from others(given, directory)
        return
    for workload in workloads():
        yield own(workload.scale or 2, directory / workload.name)


def compare(artifacts: Lowered, shape: Shape, name: str, peak: Peak, seconds: float) -> dict[Cell, Measurement]:
    """RT4KSR in all precisions."""
    counted = works(artifacts, shape)
    print(f"\n{name}: {multiply_adds(counted)} per frame\n{table.HEADER}")
    everything: dict[Cell, Measurement] = {}
    for threads in thread_counts():  # all cells of a workload at a time would be too much for small machines' memory
        found, default = turns(artifacts, shape, threads, peak, seconds)
        print(*table.rows(found, counted, peak, table.wanted_of_own(), default=default), sep="\n")
        everything |= found
    return everything


def another(artifacts: Lowered, shape: Shape, peak: Peak, seconds: float) -> None:
    """A network of others in the precisions that it could be converted to."""
    manifest = artifacts["fp32"].manifest
    shape = manifest.sizes.extended(shape) if manifest.shape is None else Shape(*manifest.shape)
    counted = works(artifacts, shape)
    print(f"\n{manifest.name}, {shape}: {multiply_adds(counted)} per frame\n{table.HEADER}")
    for threads in thread_counts():
        found, default = turns(artifacts, shape, threads, peak, seconds)
        print(*table.rows(found, counted, peak, table.wanted_of_others(threads), default=default), sep="\n")


def multiply_adds(counted: Mapping[Precision, Work]) -> str:
    """Of the graph, and what the engine executes of it in float32."""
    work = counted["fp32"]
    return f"{work.multiply_adds / 1e9:.1f} G multiply-adds ({work.executed / 1e9:.1f} G executed in fp32)"


def turns(
    artifacts: Lowered, shape: Shape, threads: int, peak: Peak, seconds: float
) -> tuple[dict[Cell, Measurement], list[float]]:
    """All cells of a number of threads, measured in turns; and frame times of OpenVINO without hints, where it would
    compute float32 graphs in bf16."""
    cells = [
        Cell(runtime, precision, threads)
        for precision in PRECISIONS
        if precision in artifacts
        for runtime in ("native", *OTHERS[precision])
    ]
    requests = [cell.asked(artifacts[cell.precision], shape) for cell in cells]
    with ExitStack() as stack:
        if "bf16" not in artifacts or not lowers_precision():
            return dict(zip(cells, in_turns(requests, seconds, peak, threads), strict=True)), []
        default = stack.enter_context(DefaultOpenVino(artifacts["fp32"], shape, threads))
        found = in_turns(requests, seconds, peak, threads, default.sample)
        return dict(zip(cells, found, strict=True)), default.seconds


def count(networks: Iterable[Lowered], directory: Path) -> None:
    """Instructions per output pixel, in each precision."""
    counter = find_counter()
    print(f"instructions per output pixel, {counter.name}, target {counter.target.name}")
    for artifacts in networks:
        for artifact in artifacts.values():
            found = instructions(artifact, counter, directory / "engines")
            print(f"{artifact.manifest.name:<30}  {found:8.1f}", flush=True)


if __name__ == "__main__":
    main()
