"""`preview`: comparison pictures, clips and pages, with the input on the left and the network's result on the right."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.images import centre_crop
from toolkit.images.picture import Picture
from toolkit.images.reading import read_picture
from toolkit.media.batch import reported, require_free
from toolkit.media.failure import attempt
from toolkit.media.files import Naming, check_outputs, find_items
from toolkit.media.item import Item
from toolkit.media.networks import Networks
from toolkit.media.options import UpscaleOptions
from toolkit.media.pictures.output import write_picture
from toolkit.media.pictures.upscaling import upscale_picture
from toolkit.media.report import FileReport, UpscaleReport
from toolkit.media.split_view import AFTER, BEFORE, colour_planes, enlarged, split_view
from toolkit.media.upscale import check_options, upscale_video
from toolkit.media.upscaler import Planes
from toolkit.media.videos.run import VideoRun, begin_video
from toolkit.media.videos.segments import still
from toolkit.pages.document import document
from toolkit.pages.slider import SLIDER_STYLE, View, slider
from toolkit.system.atomic import write_bytes
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.system.shutdown import Shutdown, graceful_shutdown
from toolkit.workloads import Shape

Pixels = NDArray[np.uint8]

LABEL = "_preview"
_PAGE = Shape(1080, 1920)
"""Largest part of a frame on a page: a 4K frame, three times, would be too large for one."""
SECONDS = 3.0


def preview(
    paths: Sequence[Path | str],
    output: Path | None = None,
    options: UpscaleOptions | None = None,
    *,
    suffix: str | None = None,
    progress: ProgressCallback = no_progress,
) -> UpscaleReport:
    """Write pictures whose left half is the input, enlarged by bicubic interpolation, and right half the network's.

    Of a video: a clip of its first three seconds in the same form, and the frame in the middle of it as a picture.
    Beside each, an HTML page on which its middle is compared by a slider: bicubic, Lanczos and the network.

    Args:
        paths: files and folders, as of `upscale`.
        output: a picture, or a clip, for a single file, else a folder; None: beside the input, NAME_preview.
        options: see `UpscaleOptions`; the duration is at most three seconds.
        suffix: of clips whose output is not named.
        progress: called as work goes on.

    Raises:
        InputError: bad options, no files, or the only file fails.
    """
    options = options or UpscaleOptions()
    options = replace(options, duration=min(options.duration or SECONDS, SECONDS), resume=False)
    naming = Naming(output, LABEL, options.picture.suffix or ".png", suffix)
    found = find_items([Path(path) for path in paths], naming)
    items = found.items
    check_outputs([(item.source, path) for item in items for path in _outputs(item, options)])
    single = len(paths) == 1 and not Path(paths[0]).is_dir()
    networks, reports = Networks(options), []
    check_options(items, options, networks)
    with graceful_shutdown() as shutdown:
        for number, item in enumerate(items):
            if shutdown.requested:
                reports.append(FileReport(str(item.source), "", item.kind, "stopped"))
                continue
            progress(Progress(item.source.name, number / len(items)))
            make = _picture if item.kind == "image" else _video

            def work(item: Item = item, make: Callable[..., FileReport] = make) -> FileReport:
                for path in _outputs(item, options):
                    require_free(replace(item, output=path), options)
                return make(item, options, networks, progress, shutdown)

            reports.append(reported(item, attempt(item.source, work), networks, single=single))
    return UpscaleReport((*found.unreadable, *reports), networks.labels, found.left_out)


def _picture(
    item: Item, options: UpscaleOptions, networks: Networks, _progress: ProgressCallback, _shutdown: Shutdown
) -> FileReport:
    begun = time.perf_counter()
    picture = read_picture(item.source)
    scale, made = upscale_picture(picture, networks.of(item).upscaler, networks.target)
    before, after = (np.ascontiguousarray(samples.transpose(2, 0, 1)) for samples in (picture.samples, made.samples))
    halves = split_view(before, after, picture.white).transpose(1, 2, 0)
    notes = write_picture(item.output, replace(made, samples=halves), options.picture, overwrite=options.overwrite)
    notes = (*notes, _write_page(item, before, after, picture.white, options))
    seconds = time.perf_counter() - begun
    notes = (*made.notes, *notes)
    return FileReport(str(item.source), str(item.output), "image", "done", 1, seconds, scale, notes=notes)


def _video(
    item: Item, options: UpscaleOptions, networks: Networks, progress: ProgressCallback, shutdown: Shutdown
) -> FileReport:
    # Parts of so short a clip are not worth resuming: those of an earlier run are deleted.
    with begin_video(item, networks.target, options.video_settings, networks.of(item), overwrite=True) as video:
        video.overwrite = options.overwrite
        return _clip(video, item, options, progress, shutdown)


def _clip(
    video: VideoRun, item: Item, options: UpscaleOptions, progress: ProgressCallback, shutdown: Shutdown
) -> FileReport:
    before, after, white = still(video.job, len(video.job.video.times) // 2)
    video.job = replace(video.job, split=True)
    planes = split_view(before, after, white)
    samples = planes.transpose(1, 2, 0)
    if white != 255:
        samples = np.rint(samples.astype(np.float64) * (65535 / white)).astype(np.uint16)
    path = _still_of(item, options)
    picture = Picture(np.ascontiguousarray(samples), "RGBA" if len(planes) == 4 else "RGB")
    write_picture(path, picture, options.picture, overwrite=options.overwrite)
    video.notes += [f"{path} is a picture from its middle", _write_page(item, before, after, white, options)]
    return upscale_video(video, item.source.name, progress, shutdown)


def _outputs(item: Item, options: UpscaleOptions) -> list[Path]:
    """All files that are written for an input."""
    still_too = [_still_of(item, options)] if item.kind == "video" else []
    return [item.output, *still_too, _page_of(item)]


def _page_of(item: Item) -> Path:
    """With the whole name of the output: a picture and a film may have the same stem."""
    return item.output.with_name(f"{item.output.name}.html")


def _write_page(item: Item, before: Planes, after: Planes, white: int, options: UpscaleOptions) -> str:
    """Write the page of a picture or a still; returns a note about it."""
    shape = Shape(*after.shape[1:])
    kernels = {BEFORE: Image.Resampling.BICUBIC, "input, Lanczos": Image.Resampling.LANCZOS}
    pictures = {name: enlarged(before, shape, white, kernel) for name, kernel in kernels.items()} | {AFTER: after}
    middle = Shape(*(min(side, most) for side, most in zip(shape.sides, _PAGE.sides, strict=True)))
    views = [View(name, centre_crop(_in_8_bits(planes, white), middle)) for name, planes in pictures.items()]
    cut = "" if middle == shape else f" Its middle, {middle} of {shape}."
    content = [f"<p>Drag the lower end of the line to move it.{cut}</p>", slider("s", views, left=0, right=2)]
    page = document(f"Preview of {item.source.name}", content, style=SLIDER_STYLE, images=True)
    write_bytes(_page_of(item), page.encode(), overwrite=options.overwrite)
    return f"{_page_of(item)} compares input and result by a slider"


def _in_8_bits(planes: Planes, white: int) -> Pixels:
    """The colours, or grey three times, as uint8 (H, W, 3)."""
    samples = colour_planes(planes).transpose(1, 2, 0)
    samples = np.broadcast_to(samples, (*samples.shape[:2], 3))
    return samples if white == 255 else np.rint(samples * (255 / white)).astype(np.uint8)


def _still_of(item: Item, options: UpscaleOptions) -> Path:
    """The picture that goes with a clip."""
    return item.output.with_suffix(options.picture.suffix or ".png")
