"""`toolkit evaluate`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_json, progress_bar, styled
from toolkit.cli.evaluate_video import VideoMeasurement, measure_video
from toolkit.cli.options import (
    ArtifactDirectory,
    BudgetFile,
    Csv,
    Html,
    Images,
    Json,
    Overwrite,
    Runtimes,
    SubjectText,
    Threads,
    Videos,
    WithinBudget,
    flag,
)
from toolkit.cli.values import find_artifacts, split
from toolkit.errors import CheckFailed, InputError, Unavailable
from toolkit.kinds import DEFAULT_DIRECTORY
from toolkit.system.atomic import check_outputs

if TYPE_CHECKING:
    from toolkit.quality.report import QualityReport
    from toolkit.quality.videos.report import VideoQualityReport
    from toolkit.runtimes.subject import Subject


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How quality is measured and judged."""

    downscale: Annotated[
        Literal["matlab", "pillow"],
        Parameter(help="Bicubic implementation that creates missing low-resolution images."),
    ] = "matlab"
    jpeg: Annotated[
        int | None,
        Parameter(
            help="Compress low-resolution images as JPEG of this quality, 1 to 100 (NTIRE 2023: 90). Default: no."
        ),
    ] = None
    border: Annotated[int | None, Parameter(help="Pixels to ignore at each edge. Default: the scale.")] = None
    within_budget: WithinBudget = False
    budgets: BudgetFile = None
    record: Annotated[bool, flag("With --within-budget: write the verdicts into the artifacts' manifests.")] = False

    @property
    def judged(self) -> bool:
        return self.within_budget or self.budgets is not None

    def __post_init__(self) -> None:
        if self.record and not self.judged:
            raise InputError("--record requires --within-budget")

    @property
    def given(self) -> list[str]:
        """Names of the options that differ from their defaults."""
        names = [item.name for item in fields(self) if getattr(self, item.name) != item.default]
        return [f"--{name.replace('_', '-')}" for name in names]


_MEASUREMENT = Measurement()
_VIDEO_MEASUREMENT = VideoMeasurement()


def evaluate(
    *subjects: SubjectText,
    images: Images | None = None,
    video: Videos | None = None,
    runtime: Annotated[
        Runtimes,
        Parameter(
            help="Comma-separated inference runtimes for artifacts without @RUNTIME; engines use their own. "
            "`simulated`: the artifact's own arithmetic with float32 accumulators, as on GPUs, computed on the CPU."
        ),
    ] = "ort-cpu",
    directory: ArtifactDirectory = DEFAULT_DIRECTORY,
    scale: int | None = None,
    measurement: Measurement = _MEASUREMENT,
    video_measurement: VideoMeasurement = _VIDEO_MEASUREMENT,
    threads: Threads = 0,
    html: Annotated[
        Html, Parameter(help="Write a self-contained HTML page with the worst patches, or the worst frames of videos.")
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Measure image or video quality: PSNR and SSIM compared with the originals, and the gain over bicubic.

    Y is luma as in MATLAB's rgb2ycbcr; the reference code's "PSNR(Y)" swaps red and blue. Borders as wide as the scale
    are ignored, values are rounded to 8 bits, and low-resolution images are cropped to even sizes.

    Image directories that contain HR and LR (or x2, x3, ...) hold pairs; all other images are originals and are
    downscaled. Larger images are cropped to the central 3840x2160 pixels; if an engine accepts only one size, all
    images are cropped to it.

    --video measures videos instead. A low-resolution clip is made of each reference, encoded (--codec, --crf), decoded
    and upscaled; or it is a file (--low). Results are compared in the reference's own format and chroma resolution, and
    directories of photographs become clips with a moving camera, compared in 4:2:0. PSNR and SSIM of Y, U and V,
    flicker, and VMAF if an FFmpeg with libvmaf is installed, beside bicubic and Lanczos interpolation.

    Parameters
    ----------
    subjects
        Checkpoints, artifacts and engines: PATH or PATH@RUNTIME. Default: all artifacts in --directory.
    scale
        Only measure artifacts with this upscaling factor.
    """
    if json and csv:
        raise InputError("--json and --csv cannot be combined")
    check_outputs(html, overwrite=overwrite)
    if bool(images) == bool(video):
        raise InputError("images or videos are needed, not both", "Give --images DIRECTORY, or --video PATH.")
    kind, unused = ("--video", measurement.given) if video else ("--images", video_measurement.given)
    if unused:
        raise InputError(f"{unused[0]} does not apply to {kind}")
    measured = _subjects(subjects, directory, split(runtime), scale, threads)
    if video:
        found = measure_video(measured, video, video_measurement, html, overwrite=overwrite, json=json, csv=csv)
        _exit(found, demanded=bool(subjects))
        return
    report = _measure_images(measured, images or [], measurement, html, overwrite=overwrite)
    _show(report, html, json=json, csv=csv)
    _exit(report, demanded=bool(subjects) or measurement.judged)


def _measure_images(
    subjects: list[Subject], images: list[Path], measurement: Measurement, page: Path | None, *, overwrite: bool
) -> QualityReport:
    from toolkit.quality.budget import read_budgets
    from toolkit.quality.data import Degradation
    from toolkit.quality.evaluation import EvaluateOptions
    from toolkit.quality.evaluation import evaluate as run

    options = EvaluateOptions(
        degradation=Degradation(measurement.downscale, measurement.jpeg),
        border=measurement.border,
        budgets=read_budgets(measurement.budgets) if measurement.judged else None,
        page=page,
        overwrite=overwrite,
    )
    with progress_bar() as progress:
        report = run(subjects, images, options, progress)
    if measurement.record:
        _record(report, subjects)
    return report


def _subjects(
    texts: tuple[str, ...], directory: Path, runtimes: list[str], scale: int | None, threads: int
) -> list[Subject]:
    from toolkit.runtimes.subject import Subject

    if texts:
        subjects = [item for text in texts for item in Subject.parse_each(text, runtimes, threads=threads)]
    else:
        subjects = [Subject(item, name, threads) for item in find_artifacts(directory) for name in runtimes]
    return [subject for subject in subjects if scale in (None, subject.scale)]


def _record(report: QualityReport, subjects: list[Subject]) -> None:
    from toolkit.quality.verdict import record_verdicts

    record_verdicts(report, [item.artifact for item in subjects if item.artifact is not None])


def _show(report: QualityReport, page: Path | None, *, json: bool, csv: bool) -> None:
    from toolkit.cli.evaluate_table import print_report

    if json:
        print_json(report.to_json())
    elif csv:
        print(report.to_csv(), end="")
    print_report(report, err if json or csv else out)
    if page is not None:
        err.print(styled("[bold]{}[/] shows the worst patches", page), soft_wrap=True)


def _exit(report: QualityReport | VideoQualityReport, *, demanded: bool) -> None:
    """Exit with 1 if a subject is over budget or failed, and with 3 if one that was named, or has a budget, cannot run
    here."""
    if not report.passed or report.failed:
        raise SystemExit(CheckFailed.exit_code)
    if demanded and not report.complete:
        raise SystemExit(Unavailable.exit_code)
