"""`toolkit upscale`."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from toolkit.cli.console import err, out, print_documents, progress_bar, styled
from toolkit.cli.options import (
    ArtifactDirectory,
    Json,
    NetworkText,
    Overwrite,
    Resume,
    Threads,
    flag,
)
from toolkit.cli.paths import STDIN, STDOUT, any_of, existing_images
from toolkit.cli.upscale_pipe import upscale_pipe
from toolkit.cli.upscale_plan import print_plan
from toolkit.errors import CheckFailed, InputError, ToolkitError
from toolkit.kinds import DEFAULT_DIRECTORY
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.system.shutdown import INTERRUPTED

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.media.options import UpscaleOptions
    from toolkit.media.report import FileReport, UpscaleReport

_NETWORKS, _PICTURES_PANEL, _VIDEOS_PANEL = (
    Group(title, sort_key=order) for order, title in enumerate(("Network", "Images", "Videos"), 1)
)


@Parameter(name="*", group=_NETWORKS)
@dataclass(frozen=True)
class Network:
    """Which network runs, and how."""

    model: Annotated[
        tuple[NetworkText, ...],
        Parameter(
            help="Artifacts (.onnx) or engines (.engine), one per scale; can be repeated. Default: an export of the "
            "toolkit's own weights in --directory, otherwise the one other network there, otherwise the toolkit's own "
            "weights. An engine holds machine code: load only engines from people whose programs you would run.",
            negative=(),
            show_default=False,
        ),
    ] = ()
    weights: Annotated[
        Literal["auto", "clean", "video"],
        Parameter(
            help="Which of the toolkit's own weights: clean, or video for what a codec has left. auto: video for "
            "videos, but those in lossless and editing codecs, and for JPEG images of a quality below 90; clean for "
            "the others."
        ),
    ] = "auto"
    runtime: Annotated[
        str | None,
        Parameter(
            help="Inference runtime for ONNX files; engines use their own. Default: native if it works here and "
            "supports the network, otherwise ort-cpu."
        ),
    ] = None
    precision: Annotated[Precision, Parameter(help="Precision of the artifact to look up in --directory.")] = (
        FULL_PRECISION
    )
    directory: ArtifactDirectory = DEFAULT_DIRECTORY
    memory: Annotated[
        int,
        Parameter(
            help="MiB of memory for the network's tensors. Larger frames are processed in strips, with the same result."
        ),
    ] = 256
    threads: Threads = 0


@Parameter(name="*", group=_PICTURES_PANEL)
@dataclass(frozen=True)
class Pictures:
    """How images are written."""

    format: Annotated[
        Literal["png", "jpg", "webp", "avif", "tiff"] | None,
        Parameter(
            help="Format of images whose name is not given by -o. Default: that of the input if it can be written, "
            "otherwise png."
        ),
    ] = None
    quality: Annotated[int, Parameter(help="Quality of JPEG, WebP and AVIF, 1 to 100.")] = 95
    lossless: Annotated[bool, flag("Write WebP without loss.")] = False


@Parameter(name="*", group=_VIDEOS_PANEL)
@dataclass(frozen=True)
class Videos:
    """How videos are read and encoded."""

    container: Annotated[
        Literal["mp4", "mov", "mkv", "webm", "ts", "nut"] | None,
        Parameter(
            help="Container of videos whose name is not given by -o. Default: that of the input if it can be written, "
            "otherwise mkv."
        ),
    ] = None
    codec: Annotated[
        str | None,
        Parameter(
            help="FFmpeg's name of a video encoder. Default: libx264; libx265 for high dynamic range; libsvtav1 for "
            ".webm."
        ),
    ] = None
    crf: Annotated[
        float | None,
        Parameter(help="Constant quality on the scale of the codec; lower is better. Default: visually lossless."),
    ] = None
    codec_preset: Annotated[
        str | None, Parameter(help="Speed preset of the codec. Default: medium; 8 for libsvtav1.")
    ] = None
    pix_fmt: Annotated[
        str | None,
        Parameter(
            help="Output pixel format, for example yuv420p10le. Default: chroma subsampling and bit depth of the input."
        ),
    ] = None
    codec_option: Annotated[
        tuple[str, ...],
        Parameter(help="Encoder option NAME=VALUE. Can be given several times.", negative=(), show_default=False),
    ] = ()
    on_error: Annotated[
        Literal["stop", "skip", "repeat"],
        Parameter(help="Handling of a corrupt frame: stop with an error, skip it, or repeat the previous frame."),
    ] = "stop"
    deinterlace: Annotated[bool, flag("Convert interlaced video to progressive video instead of refusing it.")] = False
    reuse: Annotated[
        Literal["exact", "off"],
        Parameter(
            help="exact: do not recompute parts that did not change since the previous frame; the result is the same."
        ),
    ] = "exact"
    chroma: Annotated[
        Literal["network", "lanczos"] | None,
        Parameter(
            help="Chroma of the result: that of the network, or the chroma planes of the input, enlarged by Lanczos "
            "interpolation. Default: what measures better: lanczos for clean weights, otherwise network."
        ),
    ] = None
    seconds: Annotated[
        float | None, Parameter(help="Seconds of each video to upscale, from its start. Default: all.")
    ] = None
    resume: Annotated[
        Resume,
        flag(
            "Continue an interrupted run: unfinished videos, and files that are not done yet. What the same command "
            "has completed is left as it is."
        ),
    ] = False


@Parameter(name="*")
@dataclass(frozen=True)
class Processes:
    """Where work is done."""

    jobs: Annotated[int, Parameter(help="Number of processes on this machine.")] = 1
    ray: Annotated[
        str | None,
        Parameter(
            help="Address of a Ray cluster whose machines can access the files: auto, HOST:PORT, or local for a "
            "cluster on this machine."
        ),
    ] = None


_NETWORK, _PICTURES, _VIDEOS, _PROCESSES = Network(), Pictures(), Videos(), Processes()


def upscale(
    *files: Path,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    scale: int | None = None,
    to: str | None = None,
    network: Network = _NETWORK,
    pictures: Pictures = _PICTURES,
    videos: Videos = _VIDEOS,
    preview: Annotated[
        bool,
        flag(
            "Only write a before/after image, and for videos a short split-screen clip; beside it a page with a slider."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        flag(
            "Write nothing: print what would be written, and the estimated time and size, from a sample of the files."
        ),
    ] = False,
    processes: Processes = _PROCESSES,
    overwrite: Annotated[
        Overwrite,
        flag(
            "Replace existing files and parts of an interrupted run. Otherwise their inputs are skipped and reported."
        ),
    ] = False,
    verbose: Annotated[bool, flag("Print the traceback of unexpected errors.")] = False,
    json: Json = False,
) -> None:
    """Upscale images, videos, and directories of them.

    Colour, transparency, colour profiles, metadata, timing, sound and subtitles are kept. Results are written beside
    their sources (photo_x2.png, photos_x2/) unless -o names a file or directory, and appear only when they are
    complete. If one file fails or does not exist, the others are still processed; the exit code is then 1. After Ctrl-C
    the finished part of a video is kept as a playable file (film_x2.stopped.mp4), and --resume continues from there.

    `upscale - -o -` reads an uncompressed video (YUV4MPEG2) from standard input and writes one to standard output:
    ffmpeg -i film.mp4 -f yuv4mpegpipe - | toolkit upscale - -o - | ffmpeg -i - film_x2.mp4

    Parameters
    ----------
    files
        Images, videos and directories; directories are searched recursively. - is standard input.
    output
        Output file for a single file, otherwise output directory. The suffix of a file selects its format: .png .jpg
        .webp .avif .tiff; .mp4 .mov .mkv .webm .ts .nut. - is standard output.
    scale
        Upscaling factor of the network. The toolkit's own are x2 and x3; others, such as 1 (same size) and 4, need a
        network in --directory or --model. Default: 2.
    to
        Size to fit into: 4k, 1440p, WIDTHxHEIGHT, ... Of the networks that are there, runs the one with the smallest
        factor that reaches it, and reduces the result; if none does, enlarges that of the largest. Portraits use the
        size rotated.
    """
    if not files:
        raise InputError("no file was given", "Give images, videos or directories.")
    any_of(existing_images, [path for path in files if path != STDIN])
    options = _options((scale, to), network, pictures, videos)
    options = replace(options, jobs=processes.jobs, ray=processes.ray, overwrite=overwrite)
    suffix = f".{videos.container}" if videos.container else None
    streams = STDIN in files or output == STDOUT
    if dry_run:
        if streams or preview:
            raise InputError("--dry-run is for files, without --preview and streams", "Leave out one of them.")
        print_plan(files, output, options, suffix, json=json)
        return
    try:
        if streams:
            report = upscale_pipe(files, output, options, preview=preview, json=json)
        else:
            report = _upscaled(files, output, options, suffix, preview=preview)
    except ToolkitError as error:
        if verbose:
            _print_traceback("".join(traceback.format_exception(error)))
        raise
    if json:
        print_documents([report])
    _print(report, err if json or streams else out, verbose=verbose)
    _exit(report)


def _upscaled(
    files: tuple[Path, ...], output: Path | None, options: UpscaleOptions, suffix: str | None, *, preview: bool
) -> UpscaleReport:
    from toolkit.media.preview import preview as run_preview
    from toolkit.media.upscale import upscale as run_upscale

    run = run_preview if preview else run_upscale
    with progress_bar() as progress:
        return run(files, output, options, suffix=suffix, progress=progress)


def _options(
    size: tuple[int | None, str | None], network: Network, pictures: Pictures, videos: Videos
) -> UpscaleOptions:
    from toolkit.media.options import UpscaleOptions
    from toolkit.media.pictures.output import PictureFormat
    from toolkit.media.target import Target
    from toolkit.media.videos.encoding import VideoFormat

    suffix = f".{pictures.format}" if pictures.format else None
    return UpscaleOptions(
        target=Target.of(*size),
        models=network.model,
        weights=network.weights,
        directory=network.directory,
        precision=network.precision,
        runtime=network.runtime,
        threads=network.threads,
        memory=network.memory << 20,
        picture=PictureFormat(pictures.quality, pictures.lossless, suffix),
        video=VideoFormat(videos.codec, videos.crf, videos.codec_preset, videos.pix_fmt, _pairs(videos.codec_option)),
        on_error=videos.on_error,
        deinterlace=videos.deinterlace,
        reuse=videos.reuse,
        chroma=videos.chroma,
        duration=videos.seconds,
        resume=videos.resume,
    )


def _pairs(options: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = [tuple(option.partition("=")[::2]) for option in options]
    for option, (name, value) in zip(options, pairs, strict=True):
        if not name or not value:
            raise InputError(f"--codec-option {option!r} is not NAME=VALUE")
    return tuple((name, value) for name, value in pairs)


def _exit(report: UpscaleReport) -> None:
    if report.stopped:
        raise SystemExit(INTERRUPTED)
    if not report.complete:
        raise SystemExit(CheckFailed.exit_code)


def _print_traceback(text: str) -> None:
    err.print(text, soft_wrap=True)


def _print_failure(item: FileReport, *, remedy: bool, verbose: bool) -> None:
    what = "[bold red]failed:[/]" if item.outcome == "failed" else "[bold yellow]not done:[/]"
    err.print(styled("{} {:line}", styled(what), item.error), soft_wrap=True)
    if remedy and item.remedy:
        err.print(styled("  {}", item.remedy), soft_wrap=True)
    if verbose and item.traceback:
        _print_traceback(item.traceback)


def _print(report: UpscaleReport, console: Console, *, verbose: bool) -> None:
    for left_out in report.left_out:
        err.print(styled("[bold yellow]skipped:[/] {:line}: {:line}", left_out.source, left_out.reason), soft_wrap=True)
    # A remedy that several files share is printed once, after the last of them.
    last = {item.remedy: index for index, item in enumerate(report.files)}
    for index, item in enumerate(report.files):
        if item.outcome in ("failed", "exists"):
            _print_failure(item, remedy=last[item.remedy] == index, verbose=verbose)
            continue
        if item.outcome == "stopped":
            where = styled(", the finished part is in [bold]{:line}[/]", item.output) if item.output else ""
            err.print(styled("[yellow]stopped:[/] {:line}{}; --resume continues", item.source, where), soft_wrap=True)
        else:
            console.print(styled("[bold]{:line}[/]{}", item.output, _figures(item)), soft_wrap=True)
        for note in item.notes:
            err.print(styled("[bold yellow]note:[/] {:line}", note), soft_wrap=True)
    done = [item for item in report.files if item.outcome == "done"]
    if len(report.files) > 1:
        console.print(styled("{} of {} files, {}", len(done), len(report.files), ", ".join(report.models)))


def _figures(item: FileReport) -> str:
    weights = f", {item.weights}" if item.weights.reason else ""
    if item.earlier:
        return f" is complete already{weights}"
    if item.kind == "image":
        return f" in {item.seconds:.1f} s{weights}"
    speed = f" {item.frames} frames in {item.seconds:.1f} s, {item.frames_per_second:.2f} frames/s"
    reused = f", {item.reused:.0%} reused" if item.reused else ""
    chroma = ", Lanczos chroma" if item.chroma == "lanczos" else ""
    return f"{speed}{reused}{weights}{chroma}"
