"""Generated programs under the compiler's sanitizers, and over many frames and loads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from native.graphs import EVEN, artifact
from native.networks import NETWORKS
from native.running import Native
from native.test_programs import build, drive
from samples import checkpoint, small_module, small_preset

import toolkit
from toolkit.artifact import Artifact
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.native.targets import find_target
from toolkit.network.architectures.compact.config import CompactConfig
from toolkit.network.architectures.configuration import Configuration
from toolkit.network.architectures.registry import architecture_of
from toolkit.network.architectures.span.config import SPANConfig
from toolkit.network.checkpoint import Checkpoint
from toolkit.runtimes.options import SessionOptions

SIZES = [(4, 4), (6, 10), (4, 38), (20, 130)]
ODD = [(1, 1), (3, 9), (33, 17)]

Made = Callable[[Artifact, Path], Artifact]


def of(graph: Callable, scale: int) -> Made:
    return lambda template, directory: artifact(graph(), template, directory, scale, sizes=EVEN)


def exported(options: ExportOptions | None = None, **preset: object) -> Made:
    config = replace(small_preset("rt4ksr"), **preset)
    return lambda _, directory: export(checkpoint(config), options or ExportOptions(), directory)


def lowered(precision: str) -> Made:
    return lambda template, directory: convert(template, precision, directory=directory)


def of_other(config: Configuration) -> Made:
    details = architecture_of(config).details(config)
    return lambda _, directory: export(
        Checkpoint(small_module(config), "small", "0" * 64, "released", details), directory=directory
    )


GRAPHS: dict[str, Made] = {
    **{name: of(make, scale) for name, (make, scale) in NETWORKS.items()},
    "rt4ksr x3": exported(scale=3),
    "rt4ksr, uint8": exported(ExportOptions(uint8="NHWC")),
    "rt4ksr, bf16": lowered("bf16"),
    "rt4ksr, int8": lowered("int8"),
    "compact": of_other(CompactConfig(scale=2, channels=6, convolutions=2)),
    "span": of_other(SPANConfig(scale=2, channels=6, blocks=2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["scalar", "native"])
@pytest.mark.parametrize("name", GRAPHS)
def test_memory_and_arithmetic_are_sound(name: str, target: str, small_artifact: Artifact, tmp_path: Path) -> None:
    runs(name, "address,undefined", target, small_artifact, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["strided", "rt4ksr, bf16", "span"])
def test_threads_do_not_race(name: str, small_artifact: Artifact, tmp_path: Path) -> None:
    runs(name, "thread", "native", small_artifact, tmp_path)


def runs(name: str, sanitizer: str, target: str, template: Artifact, directory: Path) -> None:
    """Drive a program that ends at the first finding, in tiles of a few columns."""
    network = Native(GRAPHS[name](template, directory))
    for program in filter(None, (network.program, network.program.video)):
        program.tile_columns = 40
    options = (f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-O1", "-g")
    driver = build(network, find_target(target), "c++", directory, *options)
    for size in SIZES if network.program.smallest > 1 else SIZES + ODD:
        assert np.isfinite(drive([str(driver)], network, size, directory)).all()


_REPEATED = """
import sys, numpy, psutil, toolkit
from toolkit.runtimes.options import SessionOptions
engine = toolkit.Engine.read(sys.argv[1])
frame = numpy.zeros((1, 3, 48, 64), numpy.float32)
process = psutil.Process()

def load(frames):
    session = toolkit.load_session(engine, options=SessionOptions(threads=2))
    session.bind((48, 64))
    for _ in range(frames):
        session.run(frame)

load(50)
for _ in range(10):
    load(1)
before = process.memory_info().rss
load(2000)
for _ in range(200):
    load(1)
print(process.memory_info().rss - before, process.num_threads(), process.num_fds())
load(1)
print(process.num_threads(), process.num_fds())
"""


@pytest.mark.slow
def test_memory_does_not_grow(small_artifact: Artifact, tmp_path: Path) -> None:
    """In 2,000 frames and 200 loads, each of which would leave at least its frames and line buffers behind."""
    engine = toolkit.build(small_artifact, "native", directory=tmp_path).engine
    session = toolkit.load_session(engine, options=SessionOptions(threads=2))
    session.bind((48, 64))
    command = [sys.executable, "-c", _REPEATED, str(engine.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    grown, *others = map(int, done.stdout.split())
    assert others[:2] == others[2:], "threads and open files"
    assert grown < 200 * (session.working_bytes + 4 * 3 * 48 * 64) / 4
