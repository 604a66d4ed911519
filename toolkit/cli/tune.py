"""`toolkit tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.markup import escape

import toolkit
from toolkit.cli.console import bar, err, out, print_documents, table


def tune(
    artifact: Path,
    /,
    *,
    precision: Literal["fp16", "bf16", "int8"],
    budget: str,
    data: Annotated[list[Path] | None, Parameter(consume_multiple=True, negative=())] = None,
    calibration: Path | None = None,
    method: Literal["percentile", "entropy", "minmax"] = "percentile",
    percentile: float = 99.99,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    plot: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Find the nodes that must stay in float32 for a precision to keep within its budget, and write that artifact.

    Quality is counted as the share of the network's gain over bicubic (PSNR-Y) that is lost; cost as the share of the
    work that stays in float32. fp16 and bf16 are simulated with float32 accumulators.

    Parameters
    ----------
    artifact
        An fp32 artifact.
    precision
        What to lower to.
    budget
        Share of the gain that may be lost: 5%, or 0.05.
    data
        Directories of images to measure on, as for `toolkit evaluate`. Default: those that ship with the toolkit.
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
    json
        Print the new artifact's manifest, which holds the curve.
    """
    share = _share(budget)
    options = toolkit.ConvertOptions(calibration=calibration, method=method, percentile=percentile)
    with bar() as advance:
        tuned = toolkit.tune(toolkit.Artifact.read(artifact), precision, share, data or (), options, output, advance)
    if plot is not None:
        toolkit.plot_curve(tuned, share, plot)
    if json:
        print_documents([tuned.artifact.manifest])
    console = err if json else out
    console.print(f"gain over bicubic: {tuned.gain:.3f} dB PSNR-Y")
    alone = table("lowered alone", "spends", right=("spends",))
    for name, spent in tuned.alone.items():
        alone.add_row(name, f"{spent:.2%}")
    console.print(alone)
    curve = table("work in float32", "gain spent", "kept in float32", right=("work in float32", "gain spent"))
    for point in tuned.curve:
        mark = "[green]" if point == tuned.chosen else "" if point.spent <= share else "[dim]"
        cells = f"{point.cost:.1%}", f"{point.spent:.2%}", escape(", ".join(point.kept) or "nothing")
        curve.add_row(*(f"{mark}{cell}" for cell in cells))
    console.print(curve)
    kept = ", ".join(tuned.chosen.kept) or "nothing"
    console.print(
        f"[bold]{escape(str(tuned.artifact.path))}[/] spends {tuned.chosen.spent:.2%} of {share:.1%}; kept in float32: "
        f"{escape(kept)} ({tuned.chosen.cost:.1%} of the work)",
        soft_wrap=True,
    )


def _share(text: str) -> float:
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        return float(number) / (100 if percent else 1)
    except ValueError:
        raise toolkit.InputError(f"budget {text!r} is no share", "Write 5% or 0.05.") from None
