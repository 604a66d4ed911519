"""`toolkit upscale`."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

import toolkit
from toolkit.cli.console import err, out, print_documents, progress_bar, styled

_INTERRUPTED = 130


@Parameter(name="*", group="Networks")
@dataclass(frozen=True)
class Network:
    """Parameters.

    Parameters
    ----------
    model
        Artifacts (.onnx) or engine bundles, one for each scale. Default: the directory's, else the toolkit's own
        weights. An engine bundle holds machine code: load only those from people whose programs you would run.
    runtime
        That runs artifacts; engines have their own. Default: native where it works and takes them, else ort-cpu.
    precision
        Of the artifact that is looked for in the directory.
    directory
        Where artifacts are.
    memory
        MiB that the network's tensors may take; larger frames go through in strips, with the same result.
    threads
        Of the runtime; 0: all usable.
    """

    model: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative=())] = ()
    runtime: str | None = None
    precision: toolkit.Precision = "fp32"
    directory: Path = Path("exported")
    memory: int = 256
    threads: int = 0


@Parameter(name="*", group="Pictures")
@dataclass(frozen=True)
class Pictures:
    """Parameters.

    Parameters
    ----------
    format
        Of pictures that -o does not name; default: the input's where it can be written, else png.
    quality
        Of JPEG, WebP and AVIF: 1 to 100.
    lossless
        WebP without loss.
    """

    format: Literal["png", "jpg", "webp", "avif", "tiff"] | None = None
    quality: int = 95
    lossless: Annotated[bool, Parameter(negative=())] = False


@Parameter(name="*", group="Videos")
@dataclass(frozen=True)
class Videos:
    """Parameters.

    Parameters
    ----------
    container
        Of videos that -o does not name; default: the input's where it can be written, else mkv.
    codec
        FFmpeg's name of a video encoder; default libx264, libx265 for high dynamic range, libsvtav1 for .webm.
    crf
        Constant quality on the codec's own scale, lower is better; default: visually lossless.
    preset
        The codec's speed; default medium, for libsvtav1 8.
    pix_fmt
        Of the output, yuv420p10le for instance; default: subsampling and depth of the input.
    codec_option
        NAME=VALUE for the encoder; may be given several times.
    on_error
        What a corrupt frame leads to: an error, its absence, or the frame before once more.
    deinterlace
        Make interlaced video progressive, instead of refusing it.
    reuse
        exact: what did not change since the frame before is not computed again; the result is the same.
    duration
        Seconds of each video, from its start.
    resume
        Go on with what an interrupted run has left: unfinished videos, and files that the same command has not done
        yet.
    """

    container: Literal["mp4", "mov", "mkv", "webm", "ts", "nut"] | None = None
    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    codec_option: Annotated[tuple[str, ...], Parameter(negative=())] = ()
    on_error: Literal["stop", "skip", "repeat"] = "stop"
    deinterlace: Annotated[bool, Parameter(negative=())] = False
    reuse: Literal["exact", "off"] = "exact"
    duration: float | None = None
    resume: Annotated[bool, Parameter(negative=())] = False


_NETWORK, _PICTURES, _VIDEOS = Network(), Pictures(), Videos()


def upscale(
    *files: Path,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    scale: int | None = None,
    to: str | None = None,
    network: Network = _NETWORK,
    pictures: Pictures = _PICTURES,
    videos: Videos = _VIDEOS,
    preview: Annotated[bool, Parameter(negative=())] = False,
    jobs: int = 1,
    ray: str | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    verbose: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Upscale pictures, videos, and folders of them.

    Colour, transparency, profiles, metadata, times, sound and subtitles come out as they went in. Results are written
    beside their sources (photo_x2.png, photos_x2/) unless -o names a file or folder, and appear whole or not at all.
    A file that fails does not keep the others from being done; the exit code is then 1. Ctrl-C leaves what was done of
    a video in a playable file (film_x2.stopped.mp4), and --resume goes on from there.

    Parameters
    ----------
    files
        Pictures, videos, and folders, which are taken recursively.
    output
        A file for a single file, else a folder. Its name says the format: .png .jpg .webp .avif .tiff; .mp4 .mov .mkv
        .webm .ts .nut.
    scale
        2 or 3; default 2.
    to
        Fit into 4k, 1440p, WIDTHxHEIGHT, ...: the network that reaches it, and the rest resized. Portraits are turned.
    preview
        Only a before/after picture, and of videos a short split-screen clip.
    jobs
        Processes at a time on this machine.
    ray
        Address of a Ray cluster whose machines see the files: auto, HOST:PORT, or local for one on this machine.
    overwrite
        Replace files that exist, and parts of an interrupted run. Without it they are kept, and their inputs are
        reported and not upscaled.
    verbose
        Print the traceback of what failed.
    json
        Print one JSON document.
    """
    options = _options(toolkit.Target.of(scale, to), network, pictures, videos)
    options = replace(options, jobs=jobs, ray=ray, overwrite=overwrite)
    run = toolkit.preview if preview else toolkit.upscale
    suffix = f".{videos.container}" if videos.container else None
    try:
        with progress_bar() as progress:
            report = run(files, output, options, suffix=suffix, progress=progress)
    except toolkit.ToolkitError as error:
        if verbose:
            _print_traceback("".join(traceback.format_exception(error)))
        raise
    if json:
        print_documents([report])
    _print(report, err if json else out, verbose=verbose)
    _exit(report)


def _options(target: toolkit.Target, network: Network, pictures: Pictures, videos: Videos) -> toolkit.UpscaleOptions:
    return toolkit.UpscaleOptions(
        target=target,
        models=network.model,
        directory=network.directory,
        precision=network.precision,
        runtime=network.runtime,
        threads=network.threads,
        memory=network.memory << 20,
        picture=toolkit.PictureFormat(
            pictures.quality, pictures.lossless, f".{pictures.format}" if pictures.format else None
        ),
        video=toolkit.VideoFormat(videos.codec, videos.crf, videos.preset, videos.pix_fmt, _pairs(videos.codec_option)),
        on_error=videos.on_error,
        deinterlace=videos.deinterlace,
        reuse=videos.reuse,
        duration=videos.duration,
        resume=videos.resume,
    )


def _pairs(options: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = [tuple(option.partition("=")[::2]) for option in options]
    for option, (name, value) in zip(options, pairs, strict=True):
        if not name or not value:
            raise toolkit.InputError(f"--codec-option {option!r} is not NAME=VALUE")
    return tuple((name, value) for name, value in pairs)


def _exit(report: toolkit.UpscaleReport) -> None:
    if report.stopped:
        raise SystemExit(_INTERRUPTED)
    if not report.complete:
        raise SystemExit(toolkit.CheckFailed.exit_code)


def _print_traceback(text: str) -> None:
    err.print(text, soft_wrap=True)


def _print_failure(item: toolkit.FileReport, *, verbose: bool) -> None:
    what = "[bold red]failed:[/]" if item.outcome == "failed" else "[bold yellow]not done:[/]"
    err.print(styled("{} {}", styled(what), item.error), soft_wrap=True)
    if item.remedy:
        err.print(styled("  {}", item.remedy), soft_wrap=True)
    if verbose and item.traceback:
        _print_traceback(item.traceback)


def _print(report: toolkit.UpscaleReport, console: Console, *, verbose: bool) -> None:
    for left_out in report.left_out:
        err.print(styled("[bold yellow]left out:[/] {}: {}", left_out.source, left_out.reason), soft_wrap=True)
    for item in report.files:
        if item.outcome in ("failed", "exists"):
            _print_failure(item, verbose=verbose)
            continue
        if item.outcome == "stopped":
            where = styled(", what was done is in [bold]{}[/]", item.output) if item.output else ""
            err.print(styled("[yellow]stopped:[/] {}{}; --resume goes on", item.source, where), soft_wrap=True)
        else:
            console.print(styled("[bold]{}[/]{}", item.output, _figures(item)), soft_wrap=True)
        for note in item.notes:
            err.print(styled("[bold yellow]note:[/] {}", note), soft_wrap=True)
    done = [item for item in report.files if item.outcome == "done"]
    if len(report.files) > 1:
        console.print(styled("{} of {} files, {}", len(done), len(report.files), ", ".join(report.models)))


def _figures(item: toolkit.FileReport) -> str:
    if item.earlier:
        return " was done before the interruption"
    if item.kind == "image":
        return f" in {item.seconds:.1f} s"
    speed = f" {item.frames} frames in {item.seconds:.1f} s, {item.frames_per_second:.2f} frames/s"
    return f"{speed}, {item.reused:.0%} reused" if item.reused else speed
