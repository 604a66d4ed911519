"""Tasks that any process can do, on any machine that sees the files."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.errors import InputError
from toolkit.media.failure import Failure, attempt
from toolkit.media.packed import PackedSubject
from toolkit.media.pictures.output import PictureFormat
from toolkit.media.pictures.upscaling import upscale_image
from toolkit.media.target import Target
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.encoding import Part
from toolkit.media.videos.job import VideoJob
from toolkit.media.videos.segments import SegmentRun
from toolkit.media.videos.video_file import Segment
from toolkit.runtimes.subject import Subject


@dataclass(frozen=True)
class ImageTask:
    """A picture to upscale, with the network of each scale that may be needed."""

    source: Path
    output: Path
    networks: dict[int, Subject | PackedSubject]
    target: Target
    memory: int
    picture: PictureFormat
    overwrite: bool = False


@dataclass(frozen=True)
class SegmentTask:
    """A segment of a video. `network` replaces that of the job on machines that do not have its files."""

    job: VideoJob
    segment: Segment
    network: PackedSubject | None = None


@dataclass(frozen=True)
class ImageDone:
    """A picture was written; `scale` is that of the network."""

    scale: int
    notes: tuple[str, ...]
    seconds: float


Task = ImageTask | SegmentTask
Result = ImageDone | Part

_OPEN: dict[tuple[str, str, int, int, bool, bool], FrameUpscaler] = {}
"""Networks that this process has loaded."""


def source_of(task: Task) -> Path:
    return task.source if isinstance(task, ImageTask) else task.job.video.path


def attempt_task(task: Task) -> Result | Failure:
    """Do a task in a worker. A failure is returned, so that the worker can do further tasks."""
    outcome = attempt(source_of(task), lambda: run_task(task))
    if isinstance(outcome, Failure) and outcome.unexpected:
        _OPEN.clear()  # the networks may be in any state
    return outcome


def run_task(task: Task) -> Result:
    """Do a task.

    Raises:
        ToolkitError: as without workers.
    """
    source = source_of(task)
    if not source.is_file():
        raise InputError(f"a worker cannot access {source}", "All machines must see the files under the same paths.")
    if isinstance(task, ImageTask):
        begun = time.perf_counter()
        scale, notes = upscale_image(
            task.source,
            task.output,
            lambda scale: opened_upscaler(task.networks[scale], task.memory, reuse=False, pictures=True),
            task.target,
            task.picture,
            overwrite=task.overwrite,
        )
        return ImageDone(scale, notes, time.perf_counter() - begun)
    job = task.job
    parts: list[Part] = []
    upscaler = opened_upscaler(task.network or job.subject, job.memory, reuse=job.reuse, pictures=False)
    upscaler.forget()
    run = SegmentRun(replace(job, subject=upscaler.subject), upscaler)
    run.run((task.segment,), lambda part, _whole: parts.append(part))
    return parts[0]


def opened_upscaler(network: Subject | PackedSubject, memory: int, *, reuse: bool, pictures: bool) -> FrameUpscaler:
    """A network, which each process loads once."""
    name = network.key if isinstance(network, PackedSubject) else str(network.path)
    key = (name, network.runtime, network.threads, memory, reuse, pictures)
    if key not in _OPEN:
        loaded = network.unpack() if isinstance(network, PackedSubject) else network
        _OPEN[key] = FrameUpscaler(loaded, memory=memory, reuse=reuse, packed=pictures)
    return _OPEN[key]
