"""`toolkit evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_json, progress_bar, styled
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
    WithinBudget,
    flag,
)
from toolkit.cli.values import find_artifacts, split
from toolkit.errors import CheckFailed, InputError, Unavailable
from toolkit.kinds import DEFAULT_DIRECTORY
from toolkit.system.atomic import check_outputs

if TYPE_CHECKING:
    from toolkit.quality.report import QualityReport
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


_MEASUREMENT = Measurement()


def evaluate(
    *subjects: SubjectText,
    images: Images,
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
    threads: Threads = 0,
    html: Annotated[Html, Parameter(help="Write a self-contained HTML page with the worst patches.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
    csv: Csv = False,
) -> None:
    """Measure image quality: PSNR and SSIM compared with the originals, and the gain over bicubic that is lost.

    Y is luma as in MATLAB's rgb2ycbcr; the reference code's "PSNR(Y)" swaps red and blue. Borders as wide as the scale
    are ignored, values are rounded to 8 bits, and low-resolution images are cropped to even sizes.

    Image directories that contain HR and LR (or x2, x3, ...) hold pairs; all other images are originals and are
    downscaled. Larger images are cropped to the central 3840x2160 pixels; if an engine accepts only one size, all
    images are cropped to it.

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
    from toolkit.quality.budget import read_budgets
    from toolkit.quality.data import Degradation
    from toolkit.quality.evaluation import EvaluateOptions
    from toolkit.quality.evaluation import evaluate as run

    options = EvaluateOptions(
        degradation=Degradation(measurement.downscale, measurement.jpeg),
        border=measurement.border,
        budgets=read_budgets(measurement.budgets) if measurement.judged else None,
        page=html,
        overwrite=overwrite,
    )
    measured = _subjects(subjects, directory, split(runtime), scale, threads)
    with progress_bar() as progress:
        report = run(measured, images, options, progress)
    if measurement.record:
        _record(report, measured)
    _show(report, html, json=json, csv=csv)
    _exit(report, demanded=bool(subjects) or measurement.judged)


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


def _exit(report: QualityReport, *, demanded: bool) -> None:
    """Exit with 1 if a subject is over budget or failed, and with 3 if one that was named, or has a budget, cannot run
    here."""
    if not report.passed or report.failed:
        raise SystemExit(CheckFailed.exit_code)
    if demanded and not report.complete:
        raise SystemExit(Unavailable.exit_code)
