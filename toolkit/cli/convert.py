"""`toolkit convert`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

import toolkit
from toolkit.cli.arguments import precisions, split
from toolkit.cli.attempts import Attempts
from toolkit.cli.console import err, out, print_documents, progress_bar, styled, table, verdict, warn


def convert(
    artifact: Path,
    /,
    *,
    precision: str,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    keep_fp32: str = "between",
    exclude: str | None = None,
    calibration: Path | None = None,
    method: Literal["percentile", "entropy", "minmax"] = "percentile",
    percentile: float = 99.99,
    allow_worse_than_bicubic: Annotated[bool, Parameter(negative=())] = False,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Write an fp32 artifact in other precisions; measure each against float64, and what it loses of the gain.

    The share of the network's gain over bicubic that is lost is measured on the calibration images. A result that is
    worse than bicubic is not written. A precision that fails does not keep the others from being written: exit 1.

    Parameters
    ----------
    artifact
        The fp32 .onnx or .json file.
    precision
        Comma-separated: fp16, bf16, int8.
    output
        Directory; default: beside the artifact.
    keep_fp32
        For fp16 and bf16: nodes that stay in float32, comma-separated; `norm` means every norm, `between` all but the
        convolutions, `none` none.
    exclude
        For int8: convolutions that stay in float32, comma-separated.
    calibration
        For int8: directory of images; default: those that ship with the toolkit.
    method
        For int8: how a range is chosen from what was seen.
    percentile
        Of magnitudes, for the method of that name.
    allow_worse_than_bicubic
        Write a result even if it is worse than bicubic.
    overwrite
        Replace an artifact of the same name that was made from other weights or with other options.
    json
        Print the manifests as one JSON document.
    """
    source = toolkit.Artifact.read(artifact)
    options = toolkit.ConvertOptions(
        keep_fp32=() if keep_fp32 == "none" else tuple(split(keep_fp32)),
        exclude=tuple(split(exclude)),
        calibration=calibration,
        method=method,
        percentile=percentile,
    )
    wanted = options.shared_out(precisions(precision))
    attempts, made = Attempts(alone=len(wanted) == 1), []
    made_from = partial(toolkit.convert, source, allow_worse_than_bicubic=allow_worse_than_bicubic, overwrite=overwrite)
    try:
        for name, fitting in wanted.items():
            with progress_bar(f"convert to {name}") as progress:
                if found := attempts.attempt(name, partial(made_from, name, fitting, output, progress)):
                    made.append(found)
    finally:  # where somebody stops it, those that are written are shown all the same
        if made and json:
            print_documents([item.manifest for item in made])
        describe(made, err if json else out)
    attempts.exit()


def describe(artifacts: list[toolkit.Artifact], console: Console) -> None:
    """What each conversion cost."""
    numbers = "measured", "bound"
    for artifact in artifacts:
        manifest = artifact.manifest
        rows = table(f"{manifest.precision}: {manifest.steps[-1].nodes} nodes", *numbers, "", right=numbers)
        for check in manifest.checks:
            if check.kind in ("largest error", "mean error"):
                rows.add_row(
                    f"{check.kind} against float64", f"{check.measured:.2g}", f"{check.bound:g}", verdict(check.passed)
                )
        console.print(rows)
        for quality in manifest.verdicts:
            console.print(styled("quality, {} {}", quality, verdict(quality.passed)), soft_wrap=True)
        warn(manifest.notes)
        console.print(styled("[bold]{}[/] ({:,} bytes)", artifact.path, manifest.onnx_bytes))
