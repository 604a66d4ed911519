"""`toolkit rank`: several networks at one target size, by quality and frame time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import InputError
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.profiling.options import ProfileOptions
from toolkit.profiling.plan import serves
from toolkit.profiling.profile import profile
from toolkit.profiling.reporting.report import CellReport, ProfileReport
from toolkit.quality.data import Degradation, bicubic
from toolkit.quality.measurement import Metrics
from toolkit.quality.pairs import PairList
from toolkit.quality.scores import Score, Scores, score
from toolkit.ranking.lanes import Lane, Named, lanes_of, read_networks
from toolkit.ranking.report import BICUBIC, RankingReport, Row, ordered
from toolkit.runtimes.registry import graph_runtimes
from toolkit.system.atomic import check_outputs, write_bytes
from toolkit.system.progress import ProgressCallback, no_progress, within
from toolkit.workloads import Shape, Workload, parse_workload, workload_for_scale

if TYPE_CHECKING:
    from toolkit.ranking.lanes import Given

_READ, _JUDGED = 0.05, 0.35
"""Shares of the progress: up to here networks are read, and up to there their quality is measured."""

_BICUBIC_SECONDS = 1.0
_BICUBIC_FRAMES = 5


def rank(
    networks: Sequence[Given],
    images: Sequence[Path | str],
    at: str | None = None,
    runtimes: Sequence[str] | None = None,
    precisions: Sequence[Precision] = (FULL_PRECISION,),
    *,
    degradation: Degradation | None = None,
    border: int | None = None,
    duration: float = 5.0,
    threads: int = 0,
    output: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
    progress: ProgressCallback = no_progress,
) -> RankingReport:
    """Compare networks that upscale the same input to the same size: quality, frame time, work and memory.

    Quality is measured on the same images for all, frame times side by side as `profile` does. Bicubic interpolation by
    Pillow is a row too; its frame time is measured alone, with one thread.

    Args:
        networks: subjects, checkpoints, artifacts and engines, or paths of them, or `PATH@RUNTIME`.
        images: image sets to measure quality on; see `find_items`.
        at: workload: `1080p-4k` or another name, or the size of the input (WIDTHxHEIGHT); None: the 4K workload of the
            networks' scale.
        runtimes: of networks that name none; None: all that run the ONNX graph.
        precisions: in which fp32 networks are measured, converted where it is another.
        degradation: how low-resolution images are computed for sets that have none.
        border: pixels that are ignored at each edge; None: the scale.
        duration: seconds of frames per lane; longer if five frames take longer.
        threads: CPU threads; 0: all that this process may use.
        output: ranking.json. The frame times are kept in ranking.profile.json beside it, from time to time during the
            measurement.
        resume: continue the frame times of an interrupted run whose report is beside `output`.
        overwrite: replace existing reports.
        command: the command line, for the report.
        progress: called as work goes on.

    Raises:
        InputError: nothing to rank, networks that do not do the same, an unknown name, or unusable images.
        OutputExists: a report exists, and neither `resume` nor `overwrite` is set.
        ToolkitError: a network cannot be read or exported.

    Example:
        >>> ranking = toolkit.rank(["exported/rt4ksr_x2_fp32.onnx@ort-cpu"], ["photos"], "64x48", duration=0.1)
        >>> [row.network for row in ranking.rows]
        ['rt4ksr_x2_fp32', 'bicubic']
        >>> ranking.rows[0].gain > 0  # dB of PSNR-Y over bicubic
        True
    """
    frame_times = None if output is None else frame_times_beside(output)
    if resume and output is None:
        raise InputError("only a ranking with an output can be resumed", "Name the output of the interrupted run.")
    check_outputs(output, frame_times, overwrite=overwrite or resume)
    with tempfile.TemporaryDirectory() as directory:
        how = _Lanes(at, runtimes, precisions, threads)
        task = _read(networks, how, images, border, Path(directory), within(progress, 0.0, _READ))
        scores, judged = _scores(task, degradation or Degradation(), within(progress, _READ, _JUDGED))
        report = profile(
            [lane.subject for lane in task.lanes if lane.subject is not None],
            workloads=[task.workload.name],
            options=ProfileOptions(duration, threads, roofline=False),
            baseline=False,
            output=frame_times,
            resume=resume,
            overwrite=overwrite,
            command=command,
            progress=within(progress, _JUDGED, 1.0),
        )
    ranking = _assembled(task, scores, judged, report)
    if output is not None:
        write_bytes(output, ranking.to_json().encode(), overwrite=overwrite or resume)
    return ranking


def frame_times_beside(output: Path) -> Path:
    """Where the frame times of a ranking are kept."""
    return output.with_suffix(".profile.json")


@dataclass(frozen=True)
class _Lanes:
    """What is asked of all networks: see `rank`."""

    at: str | None
    runtimes: Sequence[str] | None
    precisions: Sequence[Precision]
    threads: int


@dataclass(frozen=True)
class _Task:
    """What is ranked, at which workload, and the images for its quality."""

    lanes: list[Lane]
    workload: Workload
    pairs: PairList


def _read(
    networks: Sequence[Given],
    asked: _Lanes,
    images: Sequence[Path | str],
    border: int | None,
    scratch: Path,
    progress: ProgressCallback,
) -> _Task:
    named = read_networks(networks, scratch, within(progress, 0.0, 0.5))
    workload = common_workload(named, asked.at)
    pairs = PairList.found([Path(item) for item in images], named[0].source.contract.scale, border)
    runtimes = graph_runtimes() if asked.runtimes is None else asked.runtimes
    lanes = lanes_of(named, runtimes, asked.precisions, asked.threads, scratch, within(progress, 0.5, 1.0))
    if not any(lane.subject is not None for lane in lanes):
        raise InputError(f"there is nothing to measure: {lanes[0].obstacle if lanes else 'no runtime was named'}")
    return _Task(lanes, workload, pairs)


def common_workload(networks: Sequence[Named], at: str | None) -> Workload:
    """The workload at which all networks can be compared: each reaches the same size from the same input.

    Args:
        networks: at least one.
        at: its name or input size; None: the 4K workload of the networks' scale.

    Raises:
        InputError: networks differ in scale, or one of them does not upscale this input.
    """
    first = networks[0]
    other = next((item for item in networks if item.source.contract.scale != first.source.contract.scale), None)
    if other is not None:
        raise InputError(
            f"{first.name} upscales x{first.source.contract.scale}, and {other.name} x{other.source.contract.scale}: "
            "from the same input they do not reach the same size",
            "Rank networks of one scale at a time.",
        )
    scale = first.source.contract.scale
    workload = workload_for_scale(scale) if at is None else parse_workload(at)
    if workload is None:
        raise InputError(f"there is no 4K workload for x{scale}", "Give the size of the input: --at WIDTHxHEIGHT.")
    for network in networks:
        contract = network.source.contract
        if serves(contract, workload):
            continue
        if workload.scale not in (None, contract.scale):
            usual = workload_for_scale(contract.scale)
            remedy = "Give the size of the input, WIDTHxHEIGHT." if usual is None else f"Use --at {usual.name}."
            raise InputError(
                f"{network.name} upscales x{contract.scale}, and {workload.name} needs x{workload.scale}", remedy
            )
        raise InputError(
            f"{network.name} takes only {contract.fixed}, and {workload.name} has {workload.shape}",
            f"Use --at {contract.fixed}, or a network for any size.",
        )
    return workload


def _scores(task: _Task, degradation: Degradation, progress: ProgressCallback) -> tuple[Scores, dict[int, Score]]:
    """Scores of all lanes that can run, and those of each lane by its number."""
    able = {number: lane.judged for number, lane in enumerate(task.lanes) if not lane.obstacle}
    subjects = {number: subject for number, subject in able.items() if subject is not None}
    scores = score(list(subjects.values()), task.pairs, degradation, progress)
    return scores, dict(zip(subjects, scores.subjects, strict=True))


def _bicubic_seconds(shape: Shape, scale: int) -> float | None:
    """Median seconds of Pillow's bicubic filter for one frame; None at x1, where it does nothing."""
    if scale == 1:
        return None
    frame = np.random.default_rng(0).integers(0, 256, (*shape.sides, 3), np.uint8)
    bicubic(frame, scale)
    seconds: list[float] = []
    while len(seconds) < _BICUBIC_FRAMES or sum(seconds) < _BICUBIC_SECONDS:
        begin = time.perf_counter()
        bicubic(frame, scale)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def _row(lane: Lane, cell: CellReport | None, judged: Score | None, scores: Scores) -> Row:
    manifest = None if lane.subject is None else lane.subject.manifest
    on = None if lane.judged is None else lane.judged.runtime
    times = None if cell is None else cell.statistics
    mean = None if judged is None else judged.mean
    return Row(
        network=lane.network,
        runtime=lane.runtime,
        precision=lane.precision,
        arithmetic=() if cell is None else cell.computed,
        parameters=None if manifest is None else manifest.network.parameters,
        multiply_adds=None if cell is None or cell.work is None else cell.work.multiply_adds,
        psnr_y=None if mean is None else mean.psnr_y,
        ssim_y=None if mean is None else mean.ssim_y,
        gain=None if mean is None else mean.psnr_y - _mean(scores.bicubic).psnr_y,
        sets=() if judged is None else judged.sets,
        median=None if times is None else times.median,
        interval=None if times is None else times.interval,
        peak_bytes=None if cell is None else cell.peak_bytes,
        judged_on="" if on in (None, lane.runtime) or mean is None else on,
        demanded=lane.demanded,
        reason=lane.obstacle if cell is None else cell.reason,
        quality_reason=_quality_reason(lane, judged),
        failed=judged is not None and judged.failed,
        traceback="" if judged is None else judged.traceback,
        licence=None if manifest is None else manifest.source.licence,
        sha256="" if manifest is None else manifest.onnx_sha256,
    )


def _quality_reason(lane: Lane, judged: Score | None) -> str:
    """Why a lane that can run has no quality."""
    if judged is not None or lane.obstacle or lane.subject is None:
        return "" if judged is None else judged.reason
    return f"it takes only {lane.subject.fixed}, and no artifact for other sizes is beside it"


def _bicubic_row(scores: Scores, seconds: float | None) -> Row:
    mean = _mean(scores.bicubic)
    return Row(
        network=BICUBIC,
        runtime="Pillow",
        precision=None,
        parameters=0,
        psnr_y=mean.psnr_y,
        ssim_y=mean.ssim_y,
        gain=0.0,
        sets=scores.bicubic.sets,
        median=seconds,
    )


def _mean(found: Score) -> Metrics:
    assert found.mean is not None  # noqa: S101  (bicubic has no runtime that could fail)
    return found.mean


def _assembled(task: _Task, scores: Scores, judged: dict[int, Score], report: ProfileReport) -> RankingReport:
    cells, rows = iter(report.cells), list[Row]()
    for number, lane in enumerate(task.lanes):
        rows.append(_row(lane, None if lane.subject is None else next(cells), judged.get(number), scores))
    workload, pairs = task.workload, task.pairs
    rows.append(_bicubic_row(scores, _bicubic_seconds(workload.shape, pairs.scale)))
    return RankingReport(
        workload=workload.name,
        given=workload.shape.sides,
        returned=workload.shape.upscaled(pairs.scale).sides,
        scale=pairs.scale,
        images=len(pairs.items),
        degradation=scores.degradation,
        border=scores.border,
        rows=ordered(rows),
        environment=report.environment,
        settings=report.settings,
        begun=report.begun,
        command=report.command,
        warnings=report.warnings,
    )
