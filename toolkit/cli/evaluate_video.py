"""`toolkit evaluate --video`: its options, and the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from toolkit.cli.console import err, out, print_json, progress_bar, styled
from toolkit.cli.paths import each, existing_file
from toolkit.cli.values import split
from toolkit.errors import InputError

if TYPE_CHECKING:
    from toolkit.quality.videos.coding import Coding
    from toolkit.quality.videos.report import VideoQualityReport
    from toolkit.runtimes.subject import Subject

_PANEL = Group("Video (--video)", sort_key=3)
_CODECS = "libx264"


@Parameter(name="*", group=_PANEL)
@dataclass(frozen=True, kw_only=True)
class VideoMeasurement:
    """How quality is measured on video."""

    codec: Annotated[
        str | None,
        Parameter(
            help="Comma-separated codecs of low-resolution clips: libx264, libx265, libsvtav1, libvpx-vp9, mpeg2video, "
            "mpeg4, or `none` for clean frames. Default: libx264."
        ),
    ] = None
    crf: Annotated[
        str | None,
        Parameter(
            help="Comma-separated qualities for each codec: constant rate factors, or quantisers of mpeg2video and "
            "mpeg4. Default: 23,28,33 for libx264 and libx265, 35,45 for libsvtav1, 31,41 for libvpx-vp9, 4,8 for "
            "quantisers."
        ),
    ] = None
    low: Annotated[
        list[Path] | None,
        Parameter(
            help="Low-resolution file of the reference in --video, in place of --codec. Can be repeated, in the order "
            "of the references.",
            validator=each(existing_file),
            negative=(),
        ),
    ] = None
    frames: Annotated[
        int | None,
        Parameter(help="Frames to measure per clip. Default: all of a video, 8 of a photograph."),
    ] = None
    size: Annotated[
        str | None,
        Parameter(help="Low-resolution size of clips of photographs: WIDTHxHEIGHT. Default: 640x360."),
    ] = None
    chroma: Annotated[
        Literal["network", "lanczos"] | None,
        Parameter(
            help="Chroma of results: that of the network, or the chroma planes of the input, enlarged by Lanczos "
            "interpolation. Default: as in `upscale`."
        ),
    ] = None
    seed: Annotated[int, Parameter(help="Seed of the directions in which photographs move.")] = 0

    @property
    def given(self) -> list[str]:
        """Names of the options that differ from their defaults."""
        default = VideoMeasurement()
        return [f"--{name}" for name in self.__dataclass_fields__ if getattr(self, name) != getattr(default, name)]


def measure_video(
    subjects: list[Subject],
    references: list[Path],
    measurement: VideoMeasurement,
    html: Path | None,
    *,
    overwrite: bool,
    json: bool,
    csv: bool,
) -> VideoQualityReport:
    """Measure, and print the report."""
    from toolkit.cli.evaluate_video_table import print_video_report
    from toolkit.quality.videos.evaluation import VideoEvaluateOptions, evaluate_video
    from toolkit.workloads import parse_shape

    options = VideoEvaluateOptions(
        codings=_codings(measurement),
        low=tuple(measurement.low or ()),
        frames=measurement.frames,
        size=None if measurement.size is None else parse_shape(measurement.size),
        seed=measurement.seed,
        chroma=measurement.chroma,
        page=html,
        overwrite=overwrite,
    )
    with progress_bar() as progress:
        report = evaluate_video(subjects, references, options, progress)
    if json:
        print_json(report.to_json())
    elif csv:
        print(report.to_csv(), end="")
    print_video_report(report, err if json or csv else out)
    if html is not None:
        err.print(styled("[bold]{}[/] shows the worst frames", html), soft_wrap=True)
    return report


def _codings(measurement: VideoMeasurement) -> tuple[Coding | None, ...]:
    from toolkit.quality.videos.coding import codings

    if measurement.low:
        if measurement.codec is not None or measurement.crf is not None:
            raise InputError("--codec and --crf do not apply to files that are encoded already (--low)")
        return ()
    try:
        qualities = None if measurement.crf is None else tuple(int(part) for part in split(measurement.crf))
    except ValueError as error:
        raise InputError(
            f"--crf {measurement.crf!r} is not a list of whole numbers", "For example 23,28,33."
        ) from error
    return codings(split(_CODECS if measurement.codec is None else measurement.codec), qualities)
