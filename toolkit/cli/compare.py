"""`toolkit compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_documents, progress_bar, styled, table, verdict, warn
from toolkit.cli.options import ImageDirectory, Json, Overwrite, Plot, Script, SubjectText, flag
from toolkit.cli.paths import STDOUT
from toolkit.errors import CheckFailed, InputError
from toolkit.system.atomic import check_outputs

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.runtimes.subject import Subject
    from toolkit.verification.comparison import ComparisonReport
    from toolkit.verification.layers import LayerReport

_SCRIPT_BOUND = 1e-4
_LARGEST_EXACT_ULP = 1_000_000
"""Larger distances in ULP (steps between neighbouring floats) are shown in scientific notation."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class How:
    """What is compared."""

    layers: Annotated[
        bool,
        flag(
            "Compare the tensors inside two artifacts and name the first node beyond the bound. Runtimes: ort-cpu, "
            "openvino, and reference (ONNX's reference implementation, for bf16)."
        ),
    ] = False
    bound: Annotated[
        float | None,
        Parameter(
            help="Largest absolute error allowed, for values 0..1: exit 1 beyond it. Default: no bound. With --layers: "
            "relative to a tensor's largest value; default 1e-4."
        ),
    ] = None
    images: ImageDirectory = None
    steadiness: Annotated[
        bool, Parameter(help="Also check that results are bit-identical in repeated runs and for any thread count.")
    ] = True
    edited: Annotated[bool, flag("Accept a graph that was changed after its manifest was written.")] = False


_HOW = How()


def compare(
    first: SubjectText,
    second: SubjectText,
    /,
    *,
    how: How = _HOW,
    plot: Annotated[
        Plot, Parameter(help="With --layers: write a plot of the error by layer (.png, .svg or .pdf).")
    ] = None,
    gen: Annotated[
        Script,
        Parameter(
            help="Write a Polygraphy script that compares two artifacts, and do nothing else. `-`: to standard output."
        ),
    ] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Compare two networks or runtimes on the same inputs, value by value, and show where they differ most.

    A subject is a checkpoint, an artifact or an engine: PATH or PATH@RUNTIME, for example ckpt.pth@float64 or
    a.onnx@openvino. Default runtimes: torch-unfused for checkpoints, ort-cpu for artifacts.

    Parameters
    ----------
    first
        The reference.
    second
        The subject that is compared with the reference.
    """
    if plot is not None and not how.layers:
        raise InputError("--plot requires --layers")
    check_outputs(plot, gen, overwrite=overwrite)
    from toolkit.runtimes.subject import Subject

    one, other = (Subject.parse(text, "ort-cpu", edited=how.edited) for text in (first, second))
    if gen is not None:
        _write_script(one, other, how.bound, gen, overwrite=overwrite)
        return
    console = err if json else out
    report = (
        _compare_layers(one, other, how, plot, console, overwrite) if how.layers else _compare(one, other, how, console)
    )
    if json:
        print_documents([report])
    if not report.passed:
        raise SystemExit(CheckFailed.exit_code)


def _write_script(one: Subject, other: Subject, bound: float | None, path: Path, *, overwrite: bool) -> None:
    from toolkit.verification.polygraphy import polygraphy_script

    tolerance = _SCRIPT_BOUND if bound is None else bound
    if path == STDOUT:
        print(polygraphy_script(one, other, tolerance), end="")
    else:
        polygraphy_script(one, other, tolerance, path, overwrite=overwrite)
        out.print(styled("[bold]{}[/]", path))


def _compare(one: Subject, other: Subject, how: How, console: Console) -> ComparisonReport:
    from toolkit.verification.comparison import compare as run
    from toolkit.verification.inputs import real_images

    images = None if how.images is None else real_images(how.images, one.fixed or other.fixed)
    with progress_bar("compare") as progress:
        report = run(one, other, images, bound=how.bound, steadiness=how.steadiness, progress=progress)
    _print(report, console)
    return report


def _compare_layers(
    one: Subject, other: Subject, how: How, plot: Path | None, console: Console, overwrite: bool
) -> LayerReport:
    from toolkit.verification.inputs import real_images
    from toolkit.verification.layers import LAYER_BOUND, compare_layers, plot_layers

    image = None if how.images is None else real_images(how.images, one.fixed or other.fixed)[0].array
    with progress_bar("compare") as progress:
        report = compare_layers(one, other, image, LAYER_BOUND if how.bound is None else how.bound, progress)
    _print_layers(report, console)
    if plot is not None:
        plot_layers(report, plot, overwrite=overwrite)
    return report


def _print(report: ComparisonReport, console: Console) -> None:
    console.print(styled("[bold]{}[/] and [bold]{}[/]", report.first, report.second), soft_wrap=True)
    numbers = ("largest", "mean", "p99", "PSNR", "ULP", "levels", "differ")
    rows = table("input", "size", *numbers, "worst at", right=numbers)
    for item in report.inputs:
        rows.add_row(
            item.input,
            item.size,
            f"{item.largest:.1e}",
            *(f"{value:.0e}" for value in (item.mean, item.p99)),
            "equal" if item.psnr is None else f"{item.psnr:.1f}",
            "–" if item.ulp is None else f"{item.ulp:,}" if item.ulp < _LARGEST_EXACT_ULP else f"{item.ulp:.0e}",
            str(item.grey_levels),
            f"{item.differing:.2%}",
            f"{item.worst[1]},{item.worst[0]}{' edge' if item.at_border else ''}" if item.largest else "",
        )
    console.print(rows)
    answers = {True: styled("[green]yes[/]"), False: styled("[bold red]no[/]")}
    for steady in report.steadiness:
        threads = ", ".join(map(str, steady.threads))
        repeated = styled("{}: bit-identical in {} runs {}", steady.subject, steady.runs, answers[steady.deterministic])
        console.print(styled("{}, with {} threads {}", repeated, threads, answers[steady.same_for_threads]))
    warn(report.notes)
    if report.bound is not None:
        console.print(styled("{}: bound {:g}", verdict(report.passed), report.bound))


def _print_layers(report: LayerReport, console: Console) -> None:
    console.print(styled("[bold]{}[/] compared with [bold]{}[/]", report.second, report.first), soft_wrap=True)
    numbers = ("largest", "mean", "relative")
    rows = table("tensor", "operator", *numbers, "", right=numbers)
    for layer in report.layers:
        values = (f"{value:.1e}" for value in (layer.largest, layer.mean, layer.relative))
        rows.add_row(layer.name, layer.operator, *values, verdict(layer.relative <= report.bound))
    console.print(rows)
    if report.unmatched:
        console.print(styled("only in the first: {}", ", ".join(report.unmatched)), style="dim")
    if report.culprit is None:
        console.print(styled("[green]no tensor exceeds the bound[/] {:g}", report.bound))
        if first := next((layer for layer in report.layers if layer.largest > 0), None):
            console.print(styled("the first tensor that differs is {}", first.name), style="dim")
    else:
        console.print(styled("[bold red]{}[/] is the first tensor beyond the bound {:g}", report.culprit, report.bound))
