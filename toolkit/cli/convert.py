"""`toolkit convert`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.attempts import Attempts
from toolkit.cli.console import budget_verdict, err, out, print_documents, progress_bar, styled, table, verdict, warn
from toolkit.cli.options import (
    AllowWorseThanBicubic,
    ArtifactPath,
    BesideArtifact,
    Calibration,
    Json,
    Overwrite,
    Precisions,
)
from toolkit.cli.values import precisions, split

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.artifact import Artifact

_CALIBRATION = Calibration()


def convert(
    artifact: ArtifactPath,
    /,
    *,
    precision: Annotated[Precisions, Parameter(help="Comma-separated precisions: fp16, bf16, int8.")],
    output: BesideArtifact = None,
    keep_fp32: str = "between",
    exclude: str | None = None,
    calibration: Calibration = _CALIBRATION,
    allow_worse_than_bicubic: AllowWorseThanBicubic = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Convert an fp32 artifact to fp16, bf16 or int8, and measure what each precision costs.

    Each result is compared with the network in float64, and its quality is measured on the calibration images: how much
    of the network's gain over bicubic interpolation is lost. A result worse than bicubic is not written. If one
    precision fails, the others are still written; the exit code is then 1.

    Parameters
    ----------
    artifact
        The fp32 artifact (.onnx or .json).
    keep_fp32
        For fp16 and bf16: comma-separated nodes that stay in float32. `norm`: all normalisations, `between`: everything
        but the convolutions, `none`: nothing. `toolkit inspect --nodes` lists the names.
    exclude
        For int8: comma-separated convolutions that stay in float32.
    """
    from toolkit.artifact import Artifact

    source = Artifact.read(artifact)
    from toolkit.graph.precision.options import ConvertOptions
    from toolkit.graph.precision.registry import split_options
    from toolkit.quality.conversion import convert as run

    options = ConvertOptions(
        keep_fp32=() if keep_fp32 == "none" else tuple(split(keep_fp32)),
        exclude=tuple(split(exclude)),
        calibration=calibration.calibration,
        method=calibration.method,
        percentile=calibration.percentile,
    )
    wanted = split_options(options, precisions(precision))
    attempts, made = Attempts(alone=len(wanted) == 1), []
    converted = partial(run, source, allow_worse_than_bicubic=allow_worse_than_bicubic, overwrite=overwrite)
    try:
        for name, fitting in wanted.items():
            with progress_bar(f"convert to {name}") as progress:
                if found := attempts.attempt(name, partial(converted, name, fitting, output, progress)):
                    made.append(found)
    finally:  # after Ctrl-C, the artifacts that were written are still reported
        if made and json:
            print_documents([item.manifest for item in made])
        describe(made, err if json else out)
    attempts.exit()


def describe(artifacts: list[Artifact], console: Console) -> None:
    """Print the error and the quality of each conversion."""
    numbers = "measured", "bound"
    for artifact in artifacts:
        manifest = artifact.manifest
        rows = table(f"{manifest.precision}: {manifest.steps[-1].nodes} nodes", *numbers, "", right=numbers)
        for check in manifest.checks:
            if check.kind in ("largest error", "mean error"):
                cells = f"{check.measured:.2g}", f"{check.bound:g}", verdict(check.passed)
                rows.add_row(f"{check.kind} against float64", *cells)
        console.print(rows)
        for quality in manifest.verdicts:
            console.print(styled("quality, {} {}", quality, budget_verdict(quality.outcome)), soft_wrap=True)
        warn(manifest.notes)
        console.print(styled("[bold]{}[/] ({:,} bytes)", artifact.path, manifest.onnx_bytes))
