"""A film, from file to file: frames per second with decoding and encoding, and how long each of the stages worked."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

from native_engine.networks import DATA, Lowered

from toolkit.errors import InputError
from toolkit.media.item import Item
from toolkit.media.networks import Networks
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import Target
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.pipeline import Times
from toolkit.media.videos.run import begin_video
from toolkit.media.videos.segments import SegmentRun

SCALE = 3
CODEC = VideoFormat(codec="libx264", crf=20, preset="ultrafast")
RUNS = (
    ("native", "fp32", ""),
    ("native", "fp32", "through RGB"),
    ("native", "int8", ""),
    ("openvino", "fp32", "through RGB"),
    ("ort-cpu", "fp32", "through RGB"),
)
"""Runtime, precision and how frames go; empty: in luma and chroma."""


@dataclass(frozen=True)
class Run:
    """Seconds of a run, from opening the file to the finished one, and its number of frames."""

    frames: int
    seconds: float
    times: Times


def film(artifacts: Lowered, seconds: float, rounds: int, directory: Path) -> None:
    """Upscale the first seconds of a film with each runtime, in turns.

    Raises:
        InputError: there is no film.
    """
    found = sorted((DATA / "video").glob("*"))
    if not found:
        raise InputError(f"there is no film in {DATA / 'video'}", "Set RT4KSR_DATA.")
    runs: dict[tuple[str, str, str], list[Run]] = {}
    for _ in range(rounds):
        for runtime, precision, way in RUNS:
            if precision in artifacts:
                subject = f"{artifacts[precision].path}@{runtime}"
                made = _upscaled(found[0], subject, seconds, directory, planar=not way)
                runs.setdefault((runtime, precision, way), []).append(made)
    frames = next(iter(runs.values()))[0].frames
    print(f"\n{found[0].name} x{SCALE}, its first {frames} frames, {rounds} rounds; x264 {CODEC.preset}, all CPUs")
    print("runtime    precision  frames/s  native fp32 is  decode  network  encode  (busy, share of the time)")
    for (runtime, precision, way), several in runs.items():
        print(_row(runtime, precision, several, runs["native", "fp32", ""]), way)


def _upscaled(path: Path, subject: str, seconds: float, directory: Path, *, planar: bool) -> Run:
    """As `toolkit upscale` does it in one process; every frame is computed, also where it equals the one before."""
    options = UpscaleOptions(Target.of(SCALE, None), (subject,), video=CODEC, duration=seconds, reuse="off")
    networks = Networks(options)
    item = Item(path, directory / "film.mp4", "video")
    networks.of(item)(SCALE).load()  # compiles engines, which is not part of the film
    begin = time.perf_counter()
    with begin_video(item, options.target, options.video_settings, networks.of(item), overwrite=True) as video:
        job = replace(video.job, planar=planar and video.job.planar)
        run = SegmentRun(job, FrameUpscaler(job.subject, memory=job.memory, reuse=job.reuse))
        times = run.run(video.remaining, lambda part, _: video.take(part))
        report = video.finish(None)
    return Run(report.frames, time.perf_counter() - begin, times)


def _row(runtime: str, precision: str, runs: list[Run], ours: list[Run]) -> str:
    speed = statistics.median(run.frames / run.seconds for run in runs)
    ratio = statistics.median(run.seconds for run in ours) / statistics.median(run.seconds for run in runs)
    shares = [
        statistics.median(getattr(run.times, stage) / run.seconds for run in runs)
        for stage in ("source", "transform", "sink")
    ]
    text = "  ".join(f"{share:>6.0%}" for share in shares)
    return f"{runtime:<9}  {precision:<9}  {speed:>8.2f}  {f'{ratio:.2f} of its time':>14}  {text}"
