"""`toolkit compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

import toolkit
from toolkit.cli.console import err, out, print_documents, progress_bar, styled, table, verdict, warn

_MANY = 1_000_000
"""Steps between floats that are not worth counting one by one."""


def compare(
    first: str,
    second: str,
    /,
    *,
    layers: Annotated[bool, Parameter(negative=())] = False,
    bound: float | None = None,
    images: Path | None = None,
    steadiness: bool = True,
    edited: Annotated[bool, Parameter(negative=())] = False,
    plot: Path | None = None,
    gen: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Run two subjects on the same inputs and show how far they are apart, and where.

    A subject is a checkpoint, an artifact or an engine bundle: PATH, or PATH@RUNTIME, for instance ckpt.pth@float64,
    a.onnx@openvino. Default runtimes: torch-unfused for checkpoints, ort-cpu for artifacts.

    Parameters
    ----------
    first
        The reference.
    second
        What is held against it.
    layers
        Compare the tensors inside two artifacts, and name the first node that leaves the bound. Runtimes that show
        them: ort-cpu, openvino, and reference (ONNX's own implementation, for bf16).
    bound
        Largest error allowed on images, for values 0..1: exit 1 beyond it. With --layers: as a share of a tensor's
        largest value (default 1e-4).
    images
        Directory of real images to compare on; with --layers the first of them, instead of noise.
    steadiness
        Also check that results are the same bits again and for any number of threads.
    edited
        Accept a graph that was changed after its manifest was written.
    plot
        With --layers: write the growth of the error as a picture (.png, .svg, .pdf).
    gen
        Also write a Polygraphy script that compares the two, to go on with by hand. For two artifacts.
    overwrite
        Replace a plot or script that exists.
    json
        Print one JSON document.
    """
    if plot is not None and not layers:
        raise toolkit.InputError("--plot goes with --layers")
    toolkit.check_outputs(plot, gen, overwrite=overwrite)
    one, other = (toolkit.parse_contestant(text, edited=edited) for text in (first, second))
    if gen is not None:
        toolkit.polygraphy_script(one, other, 1e-4 if bound is None else bound, gen, overwrite=overwrite)
    console = err if json else out
    report: toolkit.LayerReport | toolkit.ComparisonReport
    given = None if images is None else toolkit.real_images(images, one.fixed or other.fixed)
    with progress_bar("compare") as progress:
        if layers:
            image = None if given is None else given[0].array
            layer_bound = toolkit.LAYER_BOUND if bound is None else bound
            report = toolkit.compare_layers(one, other, image, layer_bound, progress)
        else:
            report = toolkit.compare(one, other, given, bound=bound, steadiness=steadiness, progress=progress)
    if isinstance(report, toolkit.LayerReport):
        _print_layers(report, console)
        if plot is not None:
            toolkit.plot_layers(report, plot, overwrite=overwrite)
    else:
        _print(report, console)
    if json:
        print_documents([report])
    if not report.passed:
        raise SystemExit(toolkit.CheckFailed.exit_code)


def _print(report: toolkit.ComparisonReport, console: Console) -> None:
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
            "–" if item.ulp is None else f"{item.ulp:,}" if item.ulp < _MANY else f"{item.ulp:.0e}",
            str(item.grey_levels),
            f"{item.differing:.2%}",
            f"{item.worst[1]},{item.worst[0]}{' edge' if item.at_border else ''}" if item.largest else "",
        )
    console.print(rows)
    answers = {True: styled("[green]yes[/]"), False: styled("[bold red]no[/]")}
    for steady in report.steadiness:
        threads = ", ".join(map(str, steady.threads))
        answer, threaded = answers[steady.deterministic], answers[steady.same_for_threads]
        repeated = styled("{}: same bits in {} runs {}", steady.subject, steady.runs, answer)
        console.print(styled("{}, with {} threads {}", repeated, threads, threaded))
    warn(report.notes)
    if report.bound is not None:
        console.print(styled("{}: bound {:g}", verdict(report.passed), report.bound))


def _print_layers(report: toolkit.LayerReport, console: Console) -> None:
    console.print(styled("[bold]{}[/] against [bold]{}[/]", report.second, report.first), soft_wrap=True)
    numbers = ("largest", "mean", "relative")
    rows = table("tensor", "operator", *numbers, "", right=numbers)
    for layer in report.layers:
        values = (f"{value:.1e}" for value in (layer.largest, layer.mean, layer.relative))
        rows.add_row(layer.name, layer.operator, *values, verdict(layer.relative <= report.bound))
    console.print(rows)
    if report.unmatched:
        console.print(styled("only in the first: {}", ", ".join(report.unmatched)), style="dim")
    if report.culprit is None:
        console.print(styled("[green]no tensor leaves the bound[/] {:g}", report.bound))
        if first := next((layer for layer in report.layers if layer.largest > 0), None):
            console.print(styled("the first that differs at all is {}", first.name), style="dim")
    else:
        console.print(styled("[bold red]{}[/] is the first beyond the bound {:g}", report.culprit, report.bound))
