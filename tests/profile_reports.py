"""Reports made up from frame times, for tests of what is done with them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

import toolkit
from toolkit.graph.analysis.work import Work
from toolkit.precisions import Precision
from toolkit.profiling.measuring.conditions import Conditions
from toolkit.profiling.measuring.environment import Environment
from toolkit.profiling.measuring.roofline import roofline
from toolkit.profiling.measuring.schedule import Block
from toolkit.profiling.measuring.statistics import summarise
from toolkit.profiling.options import ProfileOptions
from toolkit.profiling.reporting.report import CellReport, ColdStart, Memory, ProfileReport, WarmUp
from toolkit.runtimes.reported import LayerTime
from toolkit.system.hardware import Ceiling

HERE = Environment("Linux", "A processor", ("avx2",), 2, 8 << 30, 0.1, "3.11", {"onnxruntime-gpu": "1.31"})
SETTINGS = ProfileOptions(threads=2, cpus=(0, 1))
CEILING = Ceiling("cpu", 2e10, {"fp32": 1e11, "bf16": 4e11}, "made up")
WORK = Work(20_155_392_000, 403_315_200, 124_572_780, 160_000)


def cell(
    runtime: str,
    median: float,
    *,
    precision: Precision = "fp32",
    seed: int = 0,
    noise: float = 0.01,
    shake: float = 0.01,
    frames: int = 10,
    workload: str = "1080p-4k",
) -> CellReport:
    """Ten blocks of log-normal frame times; `shake` is what all frames of a block share."""
    random = np.random.default_rng([seed, len(runtime)])
    shakes = random.normal(0, shake, 10)
    blocks = tuple(
        Block(number, tuple((median * np.exp(moved + random.normal(0, noise, frames))).tolist()))
        for number, moved in enumerate(shakes, start=1)
    )
    statistics = summarise([block.seconds for block in blocks])
    executed = {precision: 12}
    return CellReport(
        runtime=runtime,
        workload=workload,
        precision=precision,
        artifact=f"rt4ksr_x2_{precision}",
        io="float32 NCHW",
        sha256="0" * 64,
        statistics=statistics,
        frames_per_second=1 / statistics.median,
        executed=executed,
        cold_start=ColdStart(0.3, 0.2, 1.5 * median, 1.0 + 8 * median),
        warm_up=WarmUp(8, 8 * median, True),
        memory=Memory(300_000_000, 60_000_000, 200_000_000, 160_000),
        conditions=Conditions(0.0, 0.01),
        work=WORK,
        roofline=roofline(WORK, executed, statistics.median, [CEILING]),
        spent=0.0 if precision == "fp32" else 0.012,
        layers=(LayerTime("conv_1", "Conv", median / 2, ("body.0.conv",)), LayerTime("shuffle", "Reorder", median / 2)),
        blocks=blocks,
    )


def quick_profile(*given: Any, **how: Any) -> ProfileReport:
    """`toolkit.profile` without roofline, with options given by name."""
    options = {name: how.pop(name) for name in ProfileOptions.__struct_fields__ if name in how}
    return toolkit.profile(*given, options=ProfileOptions(**({"roofline": False} | options)), **how)


def report(*cells: CellReport, **changes: object) -> ProfileReport:
    made = ProfileReport(HERE, SETTINGS, cells, "2026-11-25T00:00:00+00:00", "toolkit profile", ceilings=(CEILING,))
    return msgspec.structs.replace(made, **changes)
