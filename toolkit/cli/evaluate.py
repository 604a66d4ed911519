"""`toolkit evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

import toolkit
from toolkit.cli.arguments import find_artifacts, split
from toolkit.cli.console import err, out, print_json, progress_bar, styled, table, verdict


def evaluate(
    *subjects: Path,
    data: Annotated[list[Path], Parameter(consume_multiple=True, negative=())],
    runtime: str = "ort-cpu",
    directory: Path = Path("exported"),
    scale: int | None = None,
    downscale: Literal["matlab", "pillow"] = "matlab",
    jpeg: int | None = None,
    border: int | None = None,
    budget: Annotated[bool, Parameter(negative=())] = False,
    budgets: Path | None = None,
    record: Annotated[bool, Parameter(negative=())] = False,
    threads: int = 0,
    html: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    csv: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Measure image quality: PSNR and SSIM against originals, bicubic, and fp32.

    Y is luma as MATLAB's rgb2ycbcr has it; the reference code's "PSNR(Y)" swaps red and blue. A border as wide as the
    scale is left out, values are rounded to 8 bits, and low-resolution images are cut to even sizes.

    Parameters
    ----------
    subjects
        Artifacts (.onnx, .json) and engine bundles. Default: everything in the directory of artifacts.
    data
        Directories of images, recursively. Where HR and LR lie side by side (in x2, x3, ... that of the network's
        scale) these are pairs; all others are originals. What is larger is cropped to the middle 3840x2160, and where
        an engine takes one size only, all are cut to that.
    runtime
        Comma-separated; runs the artifacts. Engines have their own. `simulated`: an artifact's own arithmetic with
        float32 accumulators, as GPUs have it, on any processor.
    directory
        Where artifacts are.
    scale
        Only artifacts of this scale.
    downscale
        Whose bicubic makes low-resolution images where there are none.
    jpeg
        Compress these as JPEG with this quality (NTIRE 2023: 90).
    border
        Pixels left out at each edge; default: the scale.
    budget
        Hold what each precision loses against its limits; exit 1 on overspending.
    budgets
        TOML file of limits; default: validation/budgets.toml, else built-in ones.
    record
        With --budget: write the verdicts into the artifacts' manifests.
    threads
        Processor threads; 0: all usable.
    html
        Write a page with the worst patches.
    overwrite
        Replace a page that exists.
    json
        Print one JSON document.
    csv
        Print a line an image.
    """
    if json and csv:
        raise toolkit.InputError("--json and --csv exclude each other")
    if record and not budget and budgets is None:
        raise toolkit.InputError("--record goes with --budget")
    toolkit.check_outputs(html, overwrite=overwrite)
    options = toolkit.EvaluateOptions(
        degradation=toolkit.Degradation(downscale, jpeg),
        border=border,
        budgets=toolkit.read_budgets(budgets) if budget or budgets is not None else None,
        page=html,
        overwrite=overwrite,
    )
    chosen = _subjects(subjects, directory, split(runtime), scale, threads)
    with progress_bar() as progress:
        report = toolkit.evaluate(chosen, data, options, progress)
    if record:
        toolkit.record_verdicts(report, [item.source for item in chosen if isinstance(item.source, toolkit.Artifact)])
    _show(report, html, json=json, csv=csv)
    _exit(report, demanded=bool(subjects) or options.budgets is not None)


def _show(report: toolkit.QualityReport, page: Path | None, *, json: bool, csv: bool) -> None:
    if json:
        print_json(report.to_json())
    elif csv:
        print(report.to_csv(), end="")
    _print(report, err if json or csv else out)
    if page is not None:
        err.print(styled("[bold]{}[/] shows the worst patches", page), soft_wrap=True)


def _exit(report: toolkit.QualityReport, *, demanded: bool) -> None:
    """Overspending and a subject that fails are failed checks; a subject that was named, or has a budget, and does not
    run here is an error."""
    if not report.passed or report.failed:
        raise SystemExit(toolkit.CheckFailed.exit_code)
    if demanded and not report.complete:
        raise SystemExit(toolkit.Unavailable.exit_code)


def _subjects(
    paths: tuple[Path, ...], directory: Path, runtimes: list[str], scale: int | None, threads: int
) -> list[toolkit.Subject]:
    engines = [toolkit.Engine.read(path) for path in paths if path.suffix == ".engine"]
    artifacts = [toolkit.Artifact.read(path) for path in paths if path.suffix != ".engine"]
    artifacts = artifacts if paths else find_artifacts(directory)
    subjects = [toolkit.Subject(item, name, threads) for name in runtimes for item in artifacts]
    subjects += [toolkit.Subject(engine, engine.info.runtime, threads) for engine in engines]
    return [subject for subject in subjects if scale in (None, subject.scale)]


def _print(report: toolkit.QualityReport, console: Console) -> None:
    for network in report.networks:
        cut = f"; all images cut to {network.cut_to} (low resolution)" if network.cut_to else ""
        gain = f"x{network.scale}: gain over bicubic {network.gain:.3f} dB PSNR-Y"
        where = f"{report.degradation} where no LR was given{cut}"
        console.print(styled("[bold]{}[/], {}; {}", network.name, gain, where), soft_wrap=True)
        console.print(_quality(network))
        if len(network.subjects) > 1:
            console.print(_spending(network))
        elif network.subjects[0].precision == "fp32" and not network.not_run:
            console.print("fp32 is what others are compared with: alone it spends nothing", style="dim")
        for subject in network.subjects:
            if subject.ran:
                what = f"{subject.name} on {subject.runtime}"
                console.print(styled("[yellow]{}:[/] stored {}, computed {}", what, subject.precision, subject.ran))
        _print_not_run(network.not_run, console)
        console.print()
    _print_not_run(report.not_run, console)


def _print_not_run(subjects: tuple[toolkit.NotRun, ...], console: Console) -> None:
    for left in subjects:
        what = f"{left.name} on {left.runtime}"
        console.print(styled("[yellow]{} did not run:[/] {}", what, left.reason), soft_wrap=True)


def _quality(network: toolkit.NetworkReport) -> Table:
    numbers = ("PSNR-Y", "-RGB", "SSIM-Y", "-RGB ")
    rows = table("images", "artifact", "runtime", *numbers, right=numbers)
    subjects = network.subjects
    several = len(subjects[0].sets()) > 1
    for name, (_, baseline) in subjects[0].sets().items():
        rows.add_row(name, "bicubic", "", *_metrics(baseline))
    if several:
        rows.add_row("all", "bicubic", "", *_metrics(network.bicubic))
    for subject in subjects:
        for name, (mean, _) in subject.sets().items():
            rows.add_row(name, subject.name, subject.runtime, *_metrics(mean))
        if several:
            rows.add_row("all", subject.name, subject.runtime, *_metrics(subject.mean))
    return rows


def _spending(network: toolkit.NetworkReport) -> Table:
    """What each subject loses against fp32, and of how much; shares are unknown where the network gains nothing."""
    rows = table("against fp32", "runtime", "gain lost", "worst image", "worst patch", "")
    for subject in network.subjects:
        if subject.reference:
            continue
        found = subject.verdict
        kept = (True,) * 3 if found is None or found.spent is None else found.allowed.kept(found.spent)
        bounds = ("",) * 3 if found is None else _bounds(found.allowed)
        mean, image = ("–", "–")
        if subject.spent is not None and subject.worst_image_spent is not None:
            mean, image = f"{subject.spent:.2%}", f"{subject.worst_image_spent:.1%}"
        patch = subject.worst_patch
        cells = mean + bounds[0], image + bounds[1], f"{patch.patch_difference:.2f}{bounds[2]} levels"
        marked = (Text(cell, "" if passed else "red") for cell, passed in zip(cells, kept, strict=True))
        verdict_ = "" if found is None else verdict(found.passed)
        rows.add_row(subject.name, subject.runtime, *marked, verdict_)
        place = styled("[dim]{} at {},{}[/]", patch.label, patch.patch[1], patch.patch[0])
        rows.add_row("", "", "", styled("[dim]{}[/]", subject.worst_image), place, "")
    return rows


def _bounds(allowed: toolkit.Limits) -> tuple[str, str, str]:
    return f" of {allowed.mean:.1%}", f" of {allowed.worst_image:.1%}", f" of {allowed.worst_patch:g}"


def _metrics(mean: toolkit.Metrics) -> tuple[str, str, str, str]:
    return f"{mean.psnr_y:.3f}", f"{mean.psnr_rgb:.3f}", f"{mean.ssim_y:.4f}", f"{mean.ssim_rgb:.4f}"
