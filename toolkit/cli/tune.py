"""`toolkit tune`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from toolkit.cli.console import err, out, print_documents, progress_bar, styled, table
from toolkit.cli.options import (
    ArtifactPath,
    BesideArtifact,
    BudgetFile,
    Calibration,
    Html,
    Images,
    Json,
    Overwrite,
    Plot,
    Threads,
)
from toolkit.cli.values import share
from toolkit.errors import InputError
from toolkit.precisions import Precision
from toolkit.system.atomic import check_outputs

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.checks import Limits
    from toolkit.quality.tuning import Tuned


@Parameter(name="*", group=Group("Search", sort_key=1))
@dataclass(frozen=True, kw_only=True)
class Search:
    """What a mix may lose, and what it should save."""

    budget: Annotated[
        str | None,
        Parameter(help="Share of the mean gain over bicubic that may be lost: 5% or 0.05. Default: --budgets."),
    ] = None
    budgets: BudgetFile = None
    images: Annotated[
        Images | None,
        Parameter(
            help="Directories of images to measure on: the central 256x256 pixels of at most 20 images. Default: "
            "images that ship with the toolkit."
        ),
    ] = None
    time_on: Annotated[
        str | None,
        Parameter(
            help="Runtime whose measured time is to be reduced. Default: reduce the share of multiply-adds in float32."
        ),
    ] = None
    threads: Threads = 0

    def limits(self, precision: Precision) -> Limits:
        """What the precision may lose.

        Raises:
            InputError: the budget is not a share between 0 and 1.
        """
        given = None if self.budget is None else share(self.budget, "--budget")
        if given is not None and not 0 < given < 1:
            raise InputError(f"--budget {self.budget!r} is not between 0 and 1", "Write 5% or 0.05.")
        from toolkit.checks import Limits
        from toolkit.quality.budget import read_budgets

        limits = read_budgets(self.budgets)[precision]
        return limits if given is None else Limits(given, limits.worst_image, limits.worst_patch)


_SEARCH, _CALIBRATION = Search(), Calibration()


def tune(
    artifact: ArtifactPath,
    /,
    *,
    precision: Precision,
    search: Search = _SEARCH,
    calibration: Calibration = _CALIBRATION,
    output: BesideArtifact = None,
    html: Annotated[Html, Parameter(help="Write a self-contained HTML page of quality, cost and nodes.")] = None,
    plot: Annotated[Plot, Parameter(help="Write a plot of quality against cost (.png, .svg or .pdf).")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Find the nodes that must stay in float32 for a precision to stay within its budget, and write that artifact.

    Quality is judged as in `toolkit evaluate --within-budget`: the share of the network's gain over bicubic (PSNR-Y)
    that is lost, on average and in the worst image, and the worst patch. fp16 and bf16 are simulated with float32
    accumulators. The cheapest mix within the budget is written; its manifest holds the curve of quality against cost
    and the verdict.

    Parameters
    ----------
    artifact
        The fp32 artifact (.onnx or .json).
    precision
        Precision to convert to.
    """
    from toolkit.artifact import Artifact

    source, limits = Artifact.read(artifact), search.limits(precision)
    check_outputs(html, plot, overwrite=overwrite)
    from toolkit.graph.precision.options import ConvertOptions
    from toolkit.quality.curve import plot_curve
    from toolkit.quality.tuning import tune as run
    from toolkit.quality.tuning_page import write_tuning_page

    options = ConvertOptions(
        calibration=calibration.calibration, method=calibration.method, percentile=calibration.percentile
    )
    with progress_bar() as progress:
        tuned = run(
            source,
            precision,
            limits,
            search.images or (),
            options,
            output,
            time_on=search.time_on,
            threads=search.threads,
            overwrite=overwrite,
            progress=progress,
        )
    if html is not None:
        write_tuning_page(tuned, html, overwrite=overwrite)
    if plot is not None:
        plot_curve(tuned, plot, overwrite=overwrite)
    if json:
        print_documents([tuned.artifact.manifest])
    _print(tuned, err if json else out)


def _print(tuned: Tuned, console: Console) -> None:
    from toolkit.quality.tuning_page import kept_nodes

    limits, spent = tuned.limits, tuned.spent
    console.print(styled("gain over bicubic: {:.3f} dB PSNR-Y on {}", tuned.gain, tuned.images))
    heads = "unit", "gain lost if only it is lowered", "gain lost if only it is float32"
    alone = table(*heads, right=heads[1:])
    for name in tuned.alone:
        alone.add_row(name, f"{tuned.alone[name].mean:.2%}", f"{tuned.raised[name].mean:.2%}")
    console.print(alone)
    cost = str(tuned.cost) if tuned.cost.kind == "time" else f"{tuned.cost} in float32"
    curve = table(cost, "gain lost", "kept in float32", right=(cost, "gain lost"))
    for point in tuned.curve:
        style = "green" if point == tuned.chosen else "" if point.spent <= limits.mean else "dim"
        cells = f"{point.cost:.1%}", f"{point.spent:.2%}", kept_nodes(point, tuned)
        curve.add_row(*cells, style=style)
    console.print(curve)
    kept = kept_nodes(tuned.chosen, tuned)
    figures = (
        f"loses {spent.mean:.2%} of the gain over bicubic (allowed {limits.mean:.1%}), in the worst image "
        f"{spent.worst_image:.1%} ({limits.worst_image:.1%}); worst patch {spent.worst_patch:.2f} grey levels "
        f"({limits.worst_patch:g})"
    )
    chosen = f"kept in float32: {kept} ({tuned.chosen.cost:.1%}: {cost})"
    console.print(styled("[bold]{}[/] {}; {}", tuned.artifact.path, figures, chosen), soft_wrap=True)
