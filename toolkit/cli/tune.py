"""`toolkit tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

import toolkit
from toolkit.cli.arguments import share
from toolkit.cli.console import err, out, print_documents, progress_bar, styled, table


def tune(
    artifact: Path,
    /,
    *,
    precision: Literal["fp16", "bf16", "int8"],
    budget: str | None = None,
    budgets: Path | None = None,
    data: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative=())] = None,
    time_on: str | None = None,
    threads: int = 0,
    calibration: Path | None = None,
    method: Literal["percentile", "entropy", "minmax"] = "percentile",
    percentile: float = 99.99,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    plot: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Find the nodes that must stay in float32 for a precision to keep within its budget, and write that artifact.

    Quality is counted as in `toolkit evaluate --budget`: the share of the network's gain over bicubic (PSNR-Y) that is
    lost, on average and in the worst image, and the worst patch. fp16 and bf16 are simulated with float32 accumulators.
    The cheapest mix that was found is written, with the curve of quality against cost and the verdict in its manifest.

    Parameters
    ----------
    artifact
        An fp32 artifact.
    precision
        What to lower to.
    budget
        Share of the mean gain that may be lost: 5%, or 0.05. Default: as in the file of budgets.
    budgets
        TOML file of limits; default: validation/budgets.toml, else built-in ones.
    data
        Directories of images to measure on, as for `toolkit evaluate`: the middle 256x256 pixels of at most 20 images.
        Default: those that ship with the toolkit.
    time_on
        A runtime: save time there, as measured here. Default: save multiply-adds in float32.
    threads
        Processor threads of that runtime; 0: all usable.
    calibration
        For int8: directory of images whose ranges are measured.
    method
        For int8: how a range is chosen.
    percentile
        For int8, method percentile.
    output
        Directory; default: beside the artifact.
    plot
        Write the curve of quality against cost as a picture (.png, .svg, .pdf).
    overwrite
        Replace what an earlier tuning wrote, and the plot.
    json
        Print the new artifact's manifest, which holds the curve.
    """
    limits = toolkit.read_budgets(budgets)[precision]
    if budget is not None:
        limits = toolkit.Limits(_budget(budget), limits.worst_image, limits.worst_patch)
    options = toolkit.ConvertOptions(calibration=calibration, method=method, percentile=percentile)
    toolkit.check_outputs(plot, overwrite=overwrite)
    with progress_bar() as progress:
        tuned = toolkit.tune(
            toolkit.Artifact.read(artifact),
            precision,
            limits,
            data or (),
            options,
            output,
            time_on=time_on,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    if plot is not None:
        toolkit.plot_curve(tuned, plot, overwrite=overwrite)
    if json:
        print_documents([tuned.artifact.manifest])
    _print(tuned, err if json else out)


def _print(tuned: toolkit.Tuned, console: Console) -> None:
    limits, spent = tuned.limits, tuned.spent
    console.print(styled("gain over bicubic: {:.3f} dB PSNR-Y on {}", tuned.gain, tuned.images))
    heads = "unit", "gain lost if lowered alone", "if it alone is float32"
    alone = table(*heads, right=heads[1:])
    for name in tuned.alone:
        alone.add_row(name, f"{tuned.alone[name].mean:.2%}", f"{tuned.raised[name].mean:.2%}")
    console.print(alone)
    cost = str(tuned.cost) if tuned.cost.kind == "time" else f"{tuned.cost} in float32"
    curve = table(cost, "gain lost", "kept in float32", right=(cost, "gain lost"))
    for point in tuned.curve:
        style = "green" if point == tuned.chosen else "" if point.spent <= limits.mean else "dim"
        cells = f"{point.cost:.1%}", f"{point.spent:.2%}", _names(point.kept, len(tuned.alone))
        curve.add_row(*cells, style=style)
    console.print(curve)
    kept = _names(tuned.chosen.kept, len(tuned.alone))
    figures = (
        f"loses {spent.mean:.2%} of the gain over bicubic (allowed {limits.mean:.1%}), in the worst image "
        f"{spent.worst_image:.1%} ({limits.worst_image:.1%}); worst patch {spent.worst_patch:.2f} grey levels "
        f"({limits.worst_patch:g})"
    )
    chosen = f"kept in float32: {kept} ({tuned.chosen.cost:.1%}: {cost})"
    console.print(styled("[bold]{}[/] {}; {}", tuned.artifact.path, figures, chosen), soft_wrap=True)


def _names(kept: tuple[str, ...], count: int) -> str:
    return "everything" if len(kept) == count else ", ".join(kept) or "nothing"


def _budget(text: str) -> float:
    found = share(text, "--budget")
    if not 0 < found < 1:
        raise toolkit.InputError(f"--budget {text!r} is not between 0 and 1", "Write 5% or 0.05.")
    return found
