"""`toolkit export`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console, RenderableType

import toolkit
from toolkit.cli.arguments import precisions, size
from toolkit.cli.attempts import Attempts
from toolkit.cli.console import err, out, print_documents, progress_bar, styled, table, verdict, warn
from toolkit.cli.convert import describe


@dataclass(frozen=True, kw_only=True)
class Lower:
    """Which other precisions are written, and how they are judged."""

    precision: Annotated[
        str,
        Parameter(
            help="Comma-separated: fp32, fp16, bf16, int8. fp32 is always written: the others are made from it, as by "
            "`toolkit convert`, which has more options. "
            "One that fails does not keep the others from being written: exit 1."
        ),
    ] = "fp32"
    within_budget: Annotated[
        Path | None,
        Parameter(
            help="Directory of images: measure there what each precision loses of the network's gain over bicubic (see "
            "`toolkit evaluate`), write the verdicts into the manifests, and exit 1 where one is over its budget."
        ),
    ] = None
    allow_worse_than_bicubic: Annotated[
        bool, Parameter(help="Write a precision even if it is worse than bicubic.", negative=())
    ] = False

    def __post_init__(self) -> None:
        precisions(self.precision)  # refused before any work

    def converted(
        self, artifact: toolkit.Artifact, progress: toolkit.ProgressCallback, attempts: Attempts, *, overwrite: bool
    ) -> list[toolkit.Artifact]:
        """The artifact in those of these precisions that do not fail."""
        allow = self.allow_worse_than_bicubic
        wanted = [name for name in precisions(self.precision) if name != "fp32"]
        convert = partial(toolkit.convert, progress=progress, allow_worse_than_bicubic=allow, overwrite=overwrite)
        made = [attempts.attempt(name, partial(convert, artifact, name)) for name in wanted]
        return [found for found in made if found is not None]


_LOWER = Lower()


def export(
    checkpoint: Path | None = None,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")] = Path("exported"),
    opset: int = 20,
    shape: str | None = None,
    io: Literal["float", "uint8"] = "float",
    layout: Literal["nchw", "nhwc"] = "nchw",
    simplify: bool = True,
    name: str | None = None,
    high_frequency: Literal["auto", "on", "off"] = "auto",
    scale: int | None = None,
    entry: str | None = None,
    preset: str | None = None,
    lower: Annotated[Lower, Parameter(name="*")] = _LOWER,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Make an ONNX artifact from a checkpoint: merge, trace, rewrite, simplify, check.

    Parameters
    ----------
    checkpoint
        PyTorch or safetensors file with RT4KSR weights; recognised by its tensors. Without one, the toolkit's own.
    output
        Directory for the artifact, its manifest and the source weights.
    opset
        ONNX operator set, 18 or later.
    shape
        Fix the input size: WIDTHxHEIGHT, 720p, 1080p, ... Default: any even width and height.
    io
        float: RGB 0..1. uint8: images, with scaling, clamping and rounding inside the graph.
    layout
        Of uint8 images.
    simplify
        Run onnxsim.
    name
        Stem of the file names.
    high_frequency
        Whether the high-frequency branch takes part; auto decides from the weights.
    scale
        Refuse any other scale; needed for scales other than 2 and 3.
    entry
        Which weights to take when the file has several sets.
    preset
        Instead of a checkpoint: a network of the paper's design space, UNTRAINED. See `toolkit presets`.
    overwrite
        Replace an artifact of the same name that was made from other weights.
    json
        Print the manifest on stdout.
    """
    if io == "float" and layout != "nchw":
        raise toolkit.InputError("float input and output are NCHW", "NHWC goes with --io uint8.")
    options = toolkit.ExportOptions(
        opset=opset,
        shape=None if shape is None else toolkit.parse_shape(shape),
        uint8=None if io == "float" else "NHWC" if layout == "nhwc" else "NCHW",
        simplify=simplify,
        name=name,
    )
    begin = time.perf_counter()
    with progress_bar("export") as progress:
        progress(toolkit.Progress("reading the checkpoint"))
        loaded = _load(checkpoint, high_frequency, scale, entry, preset)
        artifact = toolkit.export(loaded, options, output, progress, overwrite=overwrite)
        attempts = Attempts(done=1)  # fp32 is written
        converted = lower.converted(artifact, progress, attempts, overwrite=overwrite)
        judged = _judge([artifact, *converted], lower.within_budget, progress)
    warn(loaded.notes)
    if json:
        print_documents([item.manifest for item in judged])
    console = err if json else out
    _describe(artifact, time.perf_counter() - begin, console)
    describe(judged[1:], console)
    if lower.within_budget is not None:
        _exit_over_budget(judged, console)
    attempts.exit()


def _judge(
    artifacts: list[toolkit.Artifact], images: Path | None, progress: toolkit.ProgressCallback
) -> list[toolkit.Artifact]:
    """The same artifacts, with verdicts in their manifests if images were given."""
    if images is None:
        return artifacts
    progress(toolkit.Progress("measuring quality"))
    options = toolkit.EvaluateOptions(budgets=toolkit.read_budgets())
    return toolkit.demand_budget(artifacts, [images], options)[1]


def _exit_over_budget(artifacts: list[toolkit.Artifact], console: Console) -> None:
    verdicts = [(item.manifest.name, found) for item in artifacts for found in item.manifest.verdicts]
    for name, found in verdicts:
        console.print(styled("{} on {} {}", name, found, verdict(found.passed)), soft_wrap=True)
    if not all(found.passed for _, found in verdicts):
        raise SystemExit(toolkit.CheckFailed.exit_code)


def _load(
    path: Path | None,
    high_frequency: Literal["auto", "on", "off"],
    scale: int | None,
    entry: str | None,
    preset: str | None,
) -> toolkit.Checkpoint:
    if path is not None:
        if preset is not None:
            raise toolkit.InputError("--preset goes without a checkpoint, which says itself what it is")
        return toolkit.load_checkpoint(path, high_frequency=high_frequency, scale=scale, entry=entry)
    if high_frequency != "auto" or entry is not None:
        raise toolkit.InputError("--high-frequency and --entry go with a checkpoint")
    if preset is not None:
        return toolkit.untrained_checkpoint(2 if scale is None else scale, preset=preset)
    return toolkit.bundled_checkpoint(2 if scale is None else scale)


def _describe(artifact: toolkit.Artifact, seconds: float, console: Console) -> None:
    manifest = artifact.manifest
    network = manifest.network
    errors = {check.subject: check for check in manifest.checks if check.kind == "graph"}
    built = f"RT4KSR x{network.scale} ({network.variant}), {network.channels} channels, {network.blocks} blocks"
    console.print(styled("{}; parameters {:,} → {:,} fused", built, manifest.source.parameters, network.parameters))
    live = "live" if network.high_frequency else "left out"
    console.print(styled("high-frequency branch: {} ({})", live, network.high_frequency_reason))
    if manifest.shape is not None:
        console.print(styled("input size: {}", size(manifest.shape)))
    rows = table("step", "nodes", "error in float64", "bound", "", right=("nodes", "error in float64", "bound"))
    for step in manifest.steps:
        check = errors.get(step.name)
        cells: tuple[RenderableType, ...] = ("", "", "")
        if check is not None:
            cells = (f"{check.measured:.1e}", f"{check.bound:g}", verdict(check.passed))
        rows.add_row(step.name, str(step.nodes), *cells)
        if step.detail:
            rows.add_row(styled("  [yellow]left alone:[/] {}", step.detail))
    console.print(rows)
    blocks = [check for check in manifest.checks if check.kind == "fusion"]
    if blocks:
        worst = max(check.measured for check in blocks)
        proved = "fusion: {} blocks proved, worst error {:.1e} (bound {:g})"
        console.print(styled(proved, len(blocks), worst, blocks[0].bound))
    for check in manifest.checks:
        if check.kind in ("stored constants", "float32 arithmetic"):
            found = "{} ({}): error {:.1e} (bound {:.1e})"
            console.print(styled(found, check.kind, check.subject, check.measured, check.bound))
    console.print(
        styled("[bold]{}[/] ({:,} bytes) in {:.1f} s", artifact.path, manifest.onnx_bytes, seconds), soft_wrap=True
    )
