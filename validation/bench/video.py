"""Speed of `toolkit upscale` on a video: each stage alone, all three at once, the bare engine, and a plain script.

    python validation/bench/video.py film.mp4 [--runtime openvino] [--to 4k] [--frames 24] [--threads 1]

Everything is measured in one run, in turns, and compared as ratios. The pipeline is as fast as its slowest stage where
each stage has processors of its own: with --threads 1 (the default) on two or more. The plain script is what one writes
in a minute: PyAV, a loop, and the same network in PyTorch. FFmpeg's lanczos scaling to the same size, encoded alike, is
timed beside them.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import torch

from toolkit.media.item import Item
from toolkit.media.networks import Networks
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import Target
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.pipeline import pipelined
from toolkit.media.videos.run import begin_video
from toolkit.media.videos.segments import Raw, SegmentRun, VideoJob
from toolkit.network.checkpoint import load_checkpoint
from toolkit.network.fusion import fuse

CODEC = VideoFormat(codec="libx264", crf=20, preset="ultrafast")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--runtime", default="ort-cpu")
    parser.add_argument("--to", default="4k")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    options = UpscaleOptions(
        target=Target.of(None, given.to), runtime=given.runtime, threads=given.threads, video=CODEC, reuse="off"
    )
    with tempfile.TemporaryDirectory() as directory:
        item = Item(given.film, Path(directory) / "out.mp4", "video")
        film = begin_video(item, options.target, options.video_settings, Networks(options))
        encoding = msgspec.structs.replace(film.job.encoding, threads=given.threads)
        subjects = measured(replace(film.job, encoding=encoding), given.frames, given.film, Path(directory))
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(given.rounds):
            for name, subject in subjects.items():
                begun = time.perf_counter()
                subject()
                times[name].append((time.perf_counter() - begun) / given.frames)
    medians = {name: statistics.median(values) for name, values in times.items()}
    stages = {name: medians[name] for name in ("decode alone", "upscale alone", "encode alone")}
    slowest = max(stages, key=lambda name: stages[name])
    print(f"{film.job.subject.label}, {given.threads} threads, {given.frames} frames a round, {given.rounds} rounds")
    for name, seconds in medians.items():
        print(f"{name:17} {1000 * seconds:8.1f} ms a frame  {1 / seconds:7.2f} frames/s")
    print(f"all at once runs at {stages[slowest] / medians['all at once']:.0%} of the slowest stage, {slowest}")
    print(f"all at once runs at {medians['bare engine'] / medians['all at once']:.0%} of the bare engine")
    print(f"three stages that only wait run at {waiting():.0%} of the slowest")
    print(f"all at once is {medians['plain script'] / medians['all at once']:.2f}x as fast as the plain script")


def waiting() -> float:
    """What the pipeline itself costs: stages that need no processor, the slowest in the middle."""
    count, slowest = 100, 0.02

    def stage(seconds: float) -> Callable[[int], int]:
        def wait(item: int) -> int:
            time.sleep(seconds)
            return item

        return wait

    alone = stage(slowest)
    begun = time.perf_counter()
    for item in range(count):
        alone(item)
    slowest_alone = time.perf_counter() - begun
    times = pipelined(map(stage(slowest / 2), range(count)), alone, stage(slowest * 0.8))
    return slowest_alone / times.wall


def measured(job: VideoJob, count: int, path: Path, directory: Path) -> dict[str, Callable[[], object]]:
    """What is timed, by name; each does `count` frames."""
    job = replace(job, decoding=replace(job.decoding, threads=1))
    run = SegmentRun(job, FrameUpscaler(job.subject, memory=job.memory))

    def decoded() -> Iterator[Raw]:
        frames = (item for item in run.frames(job.video.segments) if isinstance(item, Raw))
        return itertools.islice(frames, count)

    frames = list(decoded())
    made = [run.upscaled(item) for item in frames]
    session = job.subject.load()
    session.bind(job.video.upright)
    port = session.artifact.manifest.input
    noise = port.noise(job.video.upright, np.random.default_rng(0))

    def encode() -> None:
        encoder = SegmentRun(job, run.upscaler)
        for item in made:
            encoder.encode(item)
        encoder.finish(job.video.segments[0])

    def upscale() -> None:
        for item in frames:
            run.upscaled(item)

    def at_once() -> None:
        encoder = SegmentRun(job, run.upscaler)
        pipelined(decoded(), run.upscaled, encoder.encode)
        encoder.finish(job.video.segments[0])

    subjects: dict[str, Callable[[], object]] = {
        "decode alone": lambda: list(decoded()),
        "upscale alone": upscale,
        "encode alone": encode,
        "all at once": at_once,
        "bare engine": lambda: [session.run(noise) for _ in range(count)],
        "plain script": lambda: plain_script(path, directory / "plain.mp4", job, count),
        "ffmpeg's lanczos": lambda: lanczos(path, directory / "lanczos.mp4", job, count),
    }
    return subjects


def plain_script(path: Path, output: Path, job: VideoJob, count: int) -> None:
    """PyAV and PyTorch without a toolkit: one thing after the other, colours as PyAV's defaults have them."""
    network = fuse(load_checkpoint(job.subject.artifact.weights_path).network).eval()
    with av.open(str(path)) as source, av.open(str(output), "w") as target, torch.inference_mode():
        stream = target.add_stream(
            "libx264", Fraction(*job.encoding.rate), options={"crf": "20", "preset": "ultrafast"}
        )
        stream.width, stream.height, stream.pix_fmt = job.encoding.width, job.encoding.height, "yuv420p"
        for frame in itertools.islice(source.decode(video=0), count):
            image = torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)[None].float() / 255
            pixels = (network(image)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
            target.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        target.mux(stream.encode(None))


def lanczos(path: Path, output: Path, job: VideoJob, count: int) -> None:
    """FFmpeg's own scaling filter: what the time buys without a network."""
    width, height = job.encoding.width, job.encoding.height
    with av.open(str(path)) as source, av.open(str(output), "w") as target:
        stream = coder(target, job)
        for frame in itertools.islice(source.decode(video=0), count):
            target.mux(stream.encode(frame.reformat(width, height, interpolation="LANCZOS")))
        target.mux(stream.encode(None))


def coder(target: Any, job: VideoJob) -> Any:
    stream = target.add_stream("libx264", Fraction(*job.encoding.rate), options={"crf": "20", "preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = job.encoding.width, job.encoding.height, "yuv420p"
    stream.codec_context.thread_count = job.encoding.threads
    return stream


if __name__ == "__main__":
    main()
