"""Video frames in luma and chroma beside the same frames through RGB, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import av
import numpy as np
from native_engine.cells import thread_counts
from native_engine.networks import Lowered

from toolkit.artifact import Artifact
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.colour import Colour, FromRgb, ToRgb
from toolkit.media.videos.planar_frames import yuv420_of
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.subject import Subject, load_session
from toolkit.workloads import Shape

COLOUR = Colour(1, full=False)
REFERENCE = "frame of the artifact's port"


def video(artifacts: Lowered, shape: Shape, name: str, seconds: float) -> None:
    """Times of one frame, relative to that of a frame as the artifact takes it."""
    for precision, artifact in artifacts.items():
        for threads in thread_counts():
            taken = in_turns(ways(artifact, shape, threads), seconds)
            print(f"\n{name}, {precision}, {threads} threads: times relative to a {REFERENCE}\n  median  least")
            for way, times in taken.items():
                median, least = (pick(times) / pick(taken[REFERENCE]) for pick in (statistics.median, min))
                print(f"  {median:>6.2f}  {least:>5.2f}  {way}")


def ways(artifact: Artifact, shape: Shape, threads: int) -> dict[str, Callable[[], object]]:
    """What is compared, by name."""
    manifest, random = artifact.manifest, np.random.default_rng(0)
    session = load_session(artifact, "native", options=SessionOptions(threads=threads))
    session.bind(shape)
    decoded = av.VideoFrame(shape.width, shape.height, "yuv420p")
    given = yuv420_of(decoded, COLOUR)
    for plane in (given.luma, given.cb, given.cr):
        if plane is not None:
            plane[:] = random.integers(16, 236, plane.shape)
    large = shape.upscaled(manifest.network.scale)
    frame = av.VideoFrame(large.width, large.height, "yuv420p")
    made = yuv420_of(frame, COLOUR)
    to_rgb, from_rgb = ToRgb(decoded, COLOUR, deep=False), FromRgb(large.width, large.height, 255, COLOUR, "yuv420p")
    upscaler = FrameUpscaler(Subject(artifact, "native", threads=threads))
    port = manifest.input.from_image(to_rgb(decoded).transpose(1, 2, 0))
    return {
        REFERENCE: lambda: session.run(port),
        "video frame": lambda: session.run_yuv420(given, made),
        "luma alone": lambda: session.run_yuv420(given, replace(made, cb=None, cr=None)),
        "video frame, converted to RGB and back by FFmpeg": lambda: from_rgb(upscaler(to_rgb(decoded), 255)),
    }


def in_turns(work: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Seconds of each call, after one that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for call in work.values():
        call()
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds * len(work):
        for name, call in work.items():
            before = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - before)
    return times
