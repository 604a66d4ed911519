"""`upscale`: pictures, videos and folders, one after the other or by workers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from toolkit.media.batch import Batch
from toolkit.media.failure import Failure, attempt
from toolkit.media.files import Naming, find_items
from toolkit.media.item import Item
from toolkit.media.networks import Networks
from toolkit.media.options import UpscaleOptions
from toolkit.media.pictures.upscaling import upscale_image
from toolkit.media.record import Record
from toolkit.media.report import FileReport, UpscaleReport
from toolkit.media.sharing import upscale_shared
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.videos.encoder_check import check_encoder
from toolkit.media.videos.encoding import Part, VideoFormat
from toolkit.media.videos.run import VideoRun, begin_video
from toolkit.media.videos.segments import SegmentRun
from toolkit.media.workers import LocalWorkers, Workers
from toolkit.system.hardware import usable_cpus
from toolkit.system.progress import Counter, Progress, ProgressCallback, no_progress
from toolkit.system.shutdown import Shutdown, graceful_shutdown


def upscale(
    paths: Sequence[Path | str],
    output: Path | None = None,
    options: UpscaleOptions | None = None,
    *,
    suffix: str | None = None,
    progress: ProgressCallback = no_progress,
) -> UpscaleReport:
    """Upscale pictures, videos, and folders of them.

    A file that fails for any reason, or does not exist, does not end the others; the error of a single file is raised.
    An existing output is not overwritten unless the options say so. On Ctrl-C (or SIGTERM) the current video is closed,
    and its finished part is written to a playable file beside the output.

    Args:
        paths: files and folders; folders are searched recursively, and their tree is kept.
        output: a file for a single file, else a folder; None: beside the input.
        options: see `UpscaleOptions`.
        suffix: of videos whose output is not named, `.mkv` for instance; None: the input's if it can be written.
        progress: called as work goes on.

    Raises:
        InputError: bad options, no files, none of them exists, or the only file fails.
        OutputExists: the output of the only file exists, and is not to be overwritten.
        UnexpectedError: the only file fails for an unforeseen reason, which is the cause.
        Unavailable: the runtime, PyAV or Ray is not available here.

    Example:
        >>> options = toolkit.UpscaleOptions(runtime="ort-cpu")
        >>> report = toolkit.upscale(["photos/coffee.png"], Path("large.png"), options)
        >>> report.complete
        True
    """
    options = options or UpscaleOptions()
    naming = Naming(output, output_label(options), options.picture.suffix, suffix)
    found = find_items([Path(path) for path in paths], naming)
    items = list(found.items)
    single = len(paths) == 1 and not Path(paths[0]).is_dir()
    workers = _workers(options)
    networks = Networks(options, 0 if workers is None else workers.threads)
    check_options(items, options, networks)
    record = Record.of([Path(path) for path in paths], output, options, networks.hashes)
    if options.overwrite and not options.resume:
        record.clear()
    batch = Batch(items, options, networks, record, single)
    with graceful_shutdown() as shutdown:
        if workers is None:
            reports = _one_by_one(batch, progress, shutdown)
        else:
            networks.forget()
            reports = upscale_shared(batch, workers, progress, shutdown)
    return UpscaleReport((*found.unreadable, *reports), networks.labels, found.left_out)


def check_options(items: Sequence[Item], options: UpscaleOptions, networks: Networks) -> None:
    """Refuse options that cannot be right for any of the files, before work begins.

    Raises:
        InputError: there is no such network, runtime or encoder, or it does not support the options.
        Unavailable: the runtime or the encoder does not work here.
    """
    if not items:
        return
    networks.check(items, runs_here=options.ray is None)
    suffixes = {item.output.suffix.lower() for item in items if item.kind == "video"}
    # Without PyAV, videos fail one by one, and pictures do not need it.
    if find_spec("av") is not None:
        for suffix in sorted(suffixes) or [""] * (options.video != VideoFormat()):
            check_encoder(options.video, suffix)


def output_label(options: UpscaleOptions) -> str:
    """What names of outputs end with: `_x2`, `_4k`, `_2560x1440`."""
    box = options.target.box
    if box is None:
        return f"_x{options.target.scale}"
    return "_4k" if box.sides == (2160, 3840) else f"_{box}"


def worker_threads(options: UpscaleOptions) -> int:
    """Threads of the runtime in each process on this machine; 0: all CPUs."""
    return options.threads or (max(1, usable_cpus() // options.jobs) if options.jobs > 1 else 0)


def _workers(options: UpscaleOptions) -> Workers | None:
    if options.ray is not None:
        from toolkit.media.cluster import RayWorkers

        return RayWorkers(options.ray, options.threads)
    if options.jobs > 1:
        return LocalWorkers(options.jobs, worker_threads(options))
    return None


def _one_by_one(batch: Batch, progress: ProgressCallback, shutdown: Shutdown) -> list[FileReport]:
    reports: list[FileReport] = []
    items, options, networks = batch.items, batch.options, batch.networks
    for number, item in enumerate(items, 1):
        if shutdown.requested:
            reports.append(FileReport(str(item.source), "", item.kind, "stopped"))
            continue
        place = item.source.name if batch.single else f"{item.source.name} ({number} of {len(items)})"
        progress(Progress(place, (number - 1) / len(items)))

        def work(item: Item = item, place: str = place) -> FileReport:
            if earlier := batch.earlier(item):
                return earlier
            if item.kind == "image":
                return _picture(item, options, networks)
            with begin_video(
                item,
                networks.target,
                options.video_settings,
                networks.of(item),
                resume=options.resume,
                overwrite=options.overwrite,
            ) as video:
                return upscale_video(video, place, progress, shutdown)

        outcome = attempt(item.source, work)
        if isinstance(outcome, Failure) and outcome.unexpected:
            networks.forget()
        reports.append(batch.report(item, outcome))
    return reports


def _picture(item: Item, options: UpscaleOptions, networks: Networks) -> FileReport:
    begun = time.perf_counter()
    chosen = networks.of(item)
    scale, notes = upscale_image(
        item.source, item.output, chosen.upscaler, networks.target, options.picture, overwrite=options.overwrite
    )
    seconds = time.perf_counter() - begun
    return FileReport(str(item.source), str(item.output), "image", "done", 1, seconds, scale, notes=notes)


def upscale_video(video: VideoRun, place: str, progress: ProgressCallback, shutdown: Shutdown) -> FileReport:
    """Upscale the remaining segments of a video in this process, and write the output.

    Args:
        video: that was begun.
        place: its name in reports of progress.
        progress: called after each frame.
        shutdown: ends the work after the current frame.
    """
    counter = Counter(progress, video.frames_remaining, "frames")
    rest: list[Part] = []

    def done(part: Part, whole: bool) -> None:
        if whole:
            video.take(part)
        else:
            rest.append(part)

    if video.remaining:
        run = SegmentRun(video.job, FrameUpscaler(video.job.subject, memory=video.job.memory, reuse=video.job.reuse))
        # Segments are processed in order, so the missing ones are at the end.
        with video.kept_parts():
            run.run(video.remaining, done, lambda: counter.finish(place), lambda: shutdown.requested)
    return video.finish(rest[0] if rest else None)
