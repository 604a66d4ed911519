"""`upscale --dry-run`: what a run would write, and about how long it would take, from a sample of each file."""

from __future__ import annotations

import bisect
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from toolkit.errors import InputError
from toolkit.images.reading import read_picture
from toolkit.media.batch import require_free
from toolkit.media.failure import Failure, attempt
from toolkit.media.files import Naming, find_items
from toolkit.media.item import Item
from toolkit.media.networks import Networks
from toolkit.media.options import UpscaleOptions
from toolkit.media.pictures.upscaling import upscale_image
from toolkit.media.report import LeftOut
from toolkit.media.upscale import check_options, output_label, worker_threads
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.encoding import EncodedPacket, Part
from toolkit.media.videos.job import VideoJob
from toolkit.media.videos.run import begin_video
from toolkit.media.videos.segments import SegmentRun
from toolkit.media.videos.video_file import Segment
from toolkit.media.weights import Choice
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import Shape

_PLACES, _FRAMES = 3, 8
"""Places of a video that are sampled, and frames at each."""

_KEY_DISTANCE = 250
"""Frames between key frames, as encoders usually set them."""


class PlannedFile(msgspec.Struct, frozen=True):
    """What a run would do with a file.

    Attributes:
        source: its path.
        output: path of the result.
        kind: `image` or `video`; `folder`: one that cannot be listed.
        size: (width, height) as displayed.
        result: (width, height) of the result.
        frames: 1 for images.
        scale: of the network.
        weights: which network, and why.
        seconds: estimate for one process on this machine.
        bytes: estimate of the size of the result.
        parts: how many processes can share the work: segments of a video, 1 for images.
        error: why it would fail; then sizes and estimates are 0.
        remedy: what to do about it.
    """

    source: str
    output: str
    kind: Literal["image", "video", "folder"]
    size: tuple[int, int] = (0, 0)
    result: tuple[int, int] = (0, 0)
    frames: int = 0
    scale: int = 0
    weights: Choice = Choice()
    seconds: float = 0.0
    bytes: int = 0
    parts: int = 1
    error: str = ""
    remedy: str = ""


class Space(msgspec.Struct, frozen=True):
    """A file system that results would be written to.

    Attributes:
        directory: one on it, which exists.
        needed: estimated bytes: all results, and the parts of the largest video, which are kept until it is complete.
        free: bytes.
    """

    directory: str
    needed: int
    free: int


class UpscalePlan(msgspec.Struct, frozen=True):
    """What a run would do.

    Attributes:
        files: in the order of the inputs.
        left_out: files that it would skip.
        jobs: number of processes.
        seconds: estimate for all files, by so many processes on this machine.
        spaces: where results would be written.
    """

    files: tuple[PlannedFile, ...]
    left_out: tuple[LeftOut, ...] = ()
    jobs: int = 1
    seconds: float = 0.0
    spaces: tuple[Space, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether no file would fail, and all results would fit on their disks."""
        return not any(item.error for item in self.files) and all(item.needed <= item.free for item in self.spaces)


@dataclass(frozen=True)
class _Cost:
    """Of a sample: seconds, bytes of its result, and its frames or pixels."""

    seconds: float
    bytes: int
    amount: int

    def at(self, amount: int) -> tuple[float, int]:
        """Seconds and bytes of another amount, in proportion."""
        share = amount / self.amount
        return self.seconds * share, round(self.bytes * share)


@dataclass(frozen=True)
class _Sampler:
    """Samples files. Of images that use the same network, one is upscaled, and the others are estimated by size."""

    options: UpscaleOptions
    networks: Networks
    scratch: Path
    pictures: dict[tuple[int, Choice], _Cost] = field(default_factory=dict)

    def planned(self, item: Item) -> PlannedFile:
        require_free(item, self.options)
        _check_place(item.output)
        return self._picture(item) if item.kind == "image" else self._video(item)

    def _picture(self, item: Item) -> PlannedFile:
        shape = Shape(*read_picture(item.source).samples.shape[:2])
        scale, result = self.networks.target.result(shape)
        chosen = self.networks.of(item)
        key = scale, chosen.choice(scale)
        if key not in self.pictures:
            path, begun = self._path(item), time.perf_counter()
            upscale_image(
                item.source, path, chosen.upscaler, self.networks.target, self.options.picture, overwrite=True
            )
            self.pictures[key] = _Cost(time.perf_counter() - begun, path.stat().st_size, result.height * result.width)
        seconds, size = self.pictures[key].at(result.height * result.width)
        return _planned(item, shape, result, 1, key, (seconds, size))

    def _video(self, item: Item) -> PlannedFile:
        settings = self.options.video_settings
        sample = replace(item, output=self._path(item))
        with begin_video(sample, self.networks.target, settings, self.networks.of(item), overwrite=True) as run:
            job = run.job
            parts, seconds = self._sampled(job)
        frames, video = len(job.video.times), job.video
        seconds *= frames / max(1, sum(part.frames for part in parts))
        size = _video_bytes([packet for part in parts for packet in part.packets], frames, len(video.segments))
        key = job.subject.scale, self.networks.of(item).choice(job.subject.scale)
        planned = _planned(item, video.upright, job.result, frames, key, (seconds, size))
        return msgspec.structs.replace(planned, parts=len(video.segments))

    def _sampled(self, job: VideoJob) -> tuple[list[Part], float]:
        """Frames after key frames at several places, since films begin with black; and the seconds that it took."""
        times, keys = job.video.times, job.video.timing.keys or job.video.times[:1]
        wanted = [times[len(times) * (2 * place + 1) // (2 * _PLACES)] for place in range(_PLACES)]
        starts = sorted({max((key for key in keys if key <= time), default=times[0]) for time in wanted})
        upscaler = FrameUpscaler(job.subject, memory=job.memory, reuse=job.reuse)
        _encoded(job, upscaler, starts[0], 1)  # loads the network, which a film needs only once
        begun = time.perf_counter()
        parts = [_encoded(job, upscaler, start, _FRAMES) for start in starts]
        return parts, time.perf_counter() - begun

    def failed(self, item: Item, failure: Failure) -> PlannedFile:
        """The plan of a file that would fail. Its error names the output, not the sample's."""
        message = str(failure.error.args[0]).replace(str(self._path(item)), str(item.output))
        return PlannedFile(str(item.source), str(item.output), item.kind, error=message, remedy=failure.error.remedy)

    def _path(self, item: Item) -> Path:
        return self.scratch / item.output.name


def dry_run(
    paths: Sequence[Path | str],
    output: Path | None = None,
    options: UpscaleOptions | None = None,
    *,
    suffix: str | None = None,
    progress: ProgressCallback = no_progress,
) -> UpscalePlan:
    """What `upscale` would do with the same arguments. Samples are written to a temporary directory and removed.

    Of each video, frames at three places are upscaled and encoded; of images, one for each network.

    Args:
        paths, output, options, suffix, progress: as of `upscale`. Samples are upscaled in this process, with as many
            threads as one of the workers would have; a cluster is not asked.

    Raises:
        InputError: bad options, or no files.
        Unavailable: the runtime or PyAV is not available here.
    """
    options = options or UpscaleOptions()
    if options.resume:
        raise InputError("a dry run estimates whole files, not what an interrupted run left", "Leave out --resume.")
    found = find_items(
        [Path(path) for path in paths], Naming(output, output_label(options), options.picture.suffix, suffix)
    )
    items = list(found.items)
    networks = Networks(options, worker_threads(options))
    check_options(items, options, networks)
    plans = [
        PlannedFile(item.source, item.output, item.kind, error=item.error, remedy=item.remedy)
        for item in found.unreadable
    ]
    with tempfile.TemporaryDirectory() as scratch:
        sampler = _Sampler(options, networks, Path(scratch))
        for number, item in enumerate(items):
            progress(Progress(item.source.name, number / len(items)))
            outcome = attempt(item.source, partial(sampler.planned, item))
            plans.append(sampler.failed(item, outcome) if isinstance(outcome, Failure) else outcome)
    seconds = max([sum(plan.seconds for plan in plans) / options.jobs, *(plan.seconds / plan.parts for plan in plans)])
    return UpscalePlan(tuple(plans), found.left_out, options.jobs, seconds, _spaces(plans))


def _spaces(plans: Sequence[PlannedFile]) -> tuple[Space, ...]:
    """The file systems of all results, in their order."""
    written: dict[int, list[PlannedFile]] = {}
    for plan in plans:
        if not plan.error:
            written.setdefault(_place(Path(plan.output)).stat().st_dev, []).append(plan)
    spaces = []
    for there in written.values():
        place = _place(Path(there[0].output))
        parts = max((plan.bytes for plan in there if plan.kind == "video"), default=0)
        spaces.append(Space(str(place), sum(plan.bytes for plan in there) + parts, shutil.disk_usage(place).free))
    return tuple(spaces)


def _place(output: Path) -> Path:
    """The nearest directory above a result that exists, or whatever is in its place."""
    return next(parent for parent in output.absolute().parents if os.path.lexists(parent))


def _check_place(output: Path) -> None:
    """Refuse a directory that cannot be written to, or cannot be created, without creating it."""
    place = _place(output)
    if not place.is_dir():
        raise InputError(f"cannot write {output}: {place} is not a directory", "Choose another output.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {output}: {place} is not writable", "Choose a directory you can write to.")


def _encoded(job: VideoJob, upscaler: FrameUpscaler, start: int, count: int) -> Part:
    """The first `count` frames from `start` on, a time of a key frame."""
    times = job.video.times
    after = bisect.bisect_left(times, start) + count
    segment = Segment(0, start, times[after] if after < len(times) else None)
    parts: list[Part] = []
    upscaler.forget()
    SegmentRun(job, upscaler).run((segment,), lambda part, _whole: parts.append(part))
    return parts[0]


def _video_bytes(packets: Sequence[EncodedPacket], frames: int, segments: int) -> int:
    """Of a video: a sample has more key frames than the whole, which are larger than the others."""
    keys, others = ([len(item.data) for item in packets if item.key is wanted] for wanted in (True, False))
    wanted = min(frames, max(segments, frames // _KEY_DISTANCE))
    mean_key = sum(keys) / max(1, len(keys))
    return round(wanted * mean_key + (frames - wanted) * (sum(others) / len(others) if others else mean_key))


def _planned(
    item: Item, shape: Shape, result: Shape, frames: int, key: tuple[int, Choice], estimate: tuple[float, int]
) -> PlannedFile:
    sizes = (shape.width, shape.height), (result.width, result.height)
    return PlannedFile(str(item.source), str(item.output), item.kind, *sizes, frames, *key, *estimate)
