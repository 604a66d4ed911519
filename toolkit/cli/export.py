"""`toolkit export`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from toolkit.cli.attempts import Attempts
from toolkit.cli.clients import ClientChecks
from toolkit.cli.console import budget_verdict, err, out, print_documents, progress_bar, styled, table, verdict, warn
from toolkit.cli.convert import describe
from toolkit.cli.options import (
    AllowWorseThanBicubic,
    BudgetFile,
    CheckpointOptions,
    CheckpointPath,
    Images,
    Json,
    Licence,
    OutputDirectory,
    Overwrite,
    Precisions,
    WithinBudget,
)
from toolkit.cli.values import precisions, size
from toolkit.errors import CheckFailed, InputError, UnknownNetwork
from toolkit.kinds import DEFAULT_DIRECTORY
from toolkit.precisions import FULL_PRECISION
from toolkit.system.progress import Progress, ProgressCallback
from toolkit.workloads import parse_shape

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from toolkit.artifact import Artifact
    from toolkit.graph.export import ExportOptions
    from toolkit.network.checkpoint import Checkpoint


@Parameter(name="*", group=Group("Graph", sort_key=2))
@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """How the ONNX graph is written."""

    opset: Annotated[int, Parameter(help="ONNX operator set, 18 or later.")] = 20
    shape: Annotated[
        str | None,
        Parameter(help="Fixed input size: WIDTHxHEIGHT, 720p, 1080p, ... Default: any even width and height."),
    ] = None
    io: Annotated[
        Literal["float", "uint8"],
        Parameter(help="Input and output. float: RGB 0..1. uint8: images; scaling, clamping and rounding are nodes."),
    ] = "float"
    layout: Annotated[Literal["nchw", "nhwc"], Parameter(help="Layout of uint8 images.")] = "nchw"
    clamp: Annotated[
        bool, Parameter(help="Limit a float output to 0..1. Programs that show it as it is need that.")
    ] = True
    simplify: Annotated[bool, Parameter(help="Run onnxsim.")] = True
    name: Annotated[str | None, Parameter(help="Stem of the file names. Default: from network and precision.")] = None
    licence: Licence = None

    def __post_init__(self) -> None:
        if self.io == "float" and self.layout != "nchw":
            raise InputError("float input and output are NCHW", "NHWC requires --io uint8.")

    def export_options(self) -> ExportOptions:
        """The same, for the API."""
        from toolkit.graph.export import ExportOptions

        return ExportOptions(
            opset=self.opset,
            shape=None if self.shape is None else parse_shape(self.shape),
            uint8=None if self.io == "float" else "NHWC" if self.layout == "nhwc" else "NCHW",
            clamp=self.clamp,
            simplify=self.simplify,
            name=self.name,
            licence=self.licence,
        )


@Parameter(name="*", group=Group("Precisions", sort_key=3))
@dataclass(frozen=True, kw_only=True)
class Lower:
    """Which other precisions are written, and how they are judged."""

    precision: Annotated[
        Precisions,
        Parameter(
            help="Comma-separated precisions: fp32, fp16, bf16, int8. fp32 is always written; the others are converted "
            "from it, as by `toolkit convert`, which has more options. If one fails, the others are still written; "
            "the exit code is then 1."
        ),
    ] = FULL_PRECISION
    within_budget: WithinBudget = False
    budgets: BudgetFile = None
    images: Images | None = None
    allow_worse_than_bicubic: AllowWorseThanBicubic = False

    def __post_init__(self) -> None:
        precisions(self.precision)  # checked before any work
        if self.within_budget != bool(self.images):
            raise InputError(
                "--within-budget and --images go together", "Give both: quality is measured on the images."
            )

    def converted(
        self, artifact: Artifact, progress: ProgressCallback, attempts: Attempts, *, overwrite: bool
    ) -> list[Artifact]:
        """The artifact in the precisions whose conversion succeeds."""
        wanted = [name for name in precisions(self.precision) if name != FULL_PRECISION]
        if not wanted:
            return []
        from toolkit.quality.conversion import convert

        allow = self.allow_worse_than_bicubic
        run = partial(convert, progress=progress, allow_worse_than_bicubic=allow, overwrite=overwrite)
        made = [attempts.attempt(name, partial(run, artifact, name)) for name in wanted]
        return [found for found in made if found is not None]

    def judged(self, artifacts: list[Artifact], progress: ProgressCallback) -> list[Artifact]:
        """The same artifacts, with verdicts in their manifests if they are to be within budget."""
        if not self.within_budget:
            return artifacts
        from toolkit.quality.budget import read_budgets
        from toolkit.quality.evaluation import EvaluateOptions
        from toolkit.quality.verdict import demand_budget

        progress(Progress("measuring quality"))
        return demand_budget(artifacts, self.images or [], EvaluateOptions(budgets=read_budgets(self.budgets)))[1]


@dataclass(frozen=True)
class _Made:
    """The fp32 artifact, and what a user should know of it."""

    artifact: Artifact
    notes: tuple[str, ...]


_SOURCE, _GRAPH, _LOWER, _CLIENTS = CheckpointOptions(), GraphOptions(), Lower(), ClientChecks()


def export(
    checkpoint: CheckpointPath | None = None,
    /,
    *,
    output: OutputDirectory = DEFAULT_DIRECTORY,
    source: CheckpointOptions = _SOURCE,
    graph: GraphOptions = _GRAPH,
    lower: Lower = _LOWER,
    clients: ClientChecks = _CLIENTS,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Export a checkpoint as an ONNX artifact: merge, trace, rewrite, simplify, and check each step.

    Writes the ONNX graph, its manifest (.json) and a copy of the source weights (.safetensors). An existing artifact is
    replaced only if it was made from the same weights with the same options, or with --overwrite.

    Architectures that the toolkit does not have are recognised and built by spandrel (extra "architectures"), and the
    result is adopted as `toolkit adopt` does it, without a copy of the weights.

    Parameters
    ----------
    checkpoint
        PyTorch or safetensors checkpoint, recognised by its tensors. Default: the toolkit's own RT4KSR weights.
    """
    _check_source(checkpoint, source)
    begin = time.perf_counter()
    with progress_bar("export") as progress:
        made = _exported(checkpoint, source, graph, output, progress, overwrite=overwrite)
        artifact = made.artifact
        attempts = Attempts(done=1)  # fp32 is written
        converted = lower.converted(artifact, progress, attempts, overwrite=overwrite)
        judged = clients.checked(lower.judged([artifact, *converted], progress), progress, attempts)
    warn(made.notes)
    if json:
        print_documents([item.manifest for item in judged])
    console = err if json else out
    _describe(artifact, time.perf_counter() - begin, console)
    describe(judged[1:], console)
    clients.describe(judged, console, attempts)
    if lower.within_budget:
        _exit_over_budget(judged, console)
    attempts.exit()


def _check_source(path: Path | None, source: CheckpointOptions) -> None:
    source.check(path)
    if path is None and source.reads_file:
        raise InputError("--high-frequency, --entry, --architecture and --assume require a checkpoint")


def _exported(
    path: Path | None,
    source: CheckpointOptions,
    graph: GraphOptions,
    output: Path,
    progress: ProgressCallback,
    *,
    overwrite: bool,
) -> _Made:
    from toolkit.graph.export import export as run

    progress(Progress("reading the checkpoint"))
    options = graph.export_options()
    try:
        loaded = _load(path, source)
    except UnknownNetwork:
        if path is None or find_spec("spandrel") is None:
            raise
        return _adopted(path, source, graph, output, progress, overwrite=overwrite)
    artifact = run(loaded, options, output, progress, overwrite=overwrite)
    return _Made(artifact, (*loaded.notes, *_licence_notes(loaded, artifact)))


def _adopted(
    path: Path,
    source: CheckpointOptions,
    graph: GraphOptions,
    output: Path,
    progress: ProgressCallback,
    *,
    overwrite: bool,
) -> _Made:
    """The artifact of a network that spandrel builds."""
    from toolkit.graph.adoption.adopt import AdoptOptions, adopt

    usual = GraphOptions(simplify=graph.simplify, name=graph.name, licence=graph.licence)
    if graph != usual or source != CheckpointOptions(scale=source.scale, entry=source.entry):
        raise InputError(
            f"{path} holds none of the toolkit's own architectures, and only they take --architecture, --assume, "
            "--clamp, --high-frequency, --io, --layout, --opset and --shape",
            "Leave these options out.",
        )
    options = AdoptOptions(
        source.scale, name=graph.name, licence=graph.licence, simplify=graph.simplify, entry=source.entry
    )
    artifact = adopt(path, options, output, progress, overwrite=overwrite)
    licence = () if graph.licence is not None else (licence_note(path.name),)
    return _Made(artifact, (*artifact.manifest.notes, *licence))


def _load(path: Path | None, source: CheckpointOptions) -> Checkpoint:
    from toolkit.network.bundled import bundled_checkpoint
    from toolkit.network.checkpoint import untrained_checkpoint

    if path is not None:
        return source.load(path)
    scale = 2 if source.scale is None else source.scale
    if source.preset is not None:
        return untrained_checkpoint(scale, preset=source.preset)
    return bundled_checkpoint(scale, source.weights or "clean")


def _licence_notes(checkpoint: Checkpoint, artifact: Artifact) -> tuple[str, ...]:
    """Warn if the licence of trained weights is unknown; untrained networks need none."""
    if artifact.manifest.source.licence is not None or checkpoint.untrained:
        return ()
    return (licence_note(checkpoint.file),)


def licence_note(file: str) -> str:
    """Asks for the licence of the weights in a file."""
    return f"the licence of {file} is not known; state it with --licence, and the manifest keeps it"


def _exit_over_budget(artifacts: list[Artifact], console: Console) -> None:
    verdicts = [(item.manifest.name, found) for item in artifacts for found in item.manifest.verdicts]
    for name, found in verdicts:
        console.print(styled("{} on {} {}", name, found, budget_verdict(found.outcome)), soft_wrap=True)
    if not all(found.passed for _, found in verdicts):
        raise SystemExit(CheckFailed.exit_code)


def _describe(artifact: Artifact, seconds: float, console: Console) -> None:
    manifest = artifact.manifest
    network = manifest.network
    console.print(styled("{}; parameters {:,} → {:,} fused", network, manifest.source.parameters, network.parameters))
    for name, value in () if network.details is None else network.details.facts:
        console.print(styled("{}: {}", name, value))
    if manifest.source.findings:
        describe_findings(artifact, console)
    if manifest.shape is not None:
        console.print(styled("input size: {}", size(manifest.shape)))
    describe_checks(artifact, console)
    written = styled("[bold]{}[/] ({:,} bytes) in {:.1f} s", artifact.path, manifest.onnx_bytes, seconds)
    console.print(written, soft_wrap=True)


def describe_findings(artifact: Artifact, console: Console) -> None:
    """Print what a network from elsewhere takes and returns, and how that is known."""
    rows = table("contract", "found", "by")
    for finding in artifact.manifest.source.findings:
        rows.add_row(finding.fact, finding.value, finding.evidence)
    console.print(rows)


def describe_checks(artifact: Artifact, console: Console) -> None:
    """Print the steps that led to the graph, and how far each is from the network."""
    manifest = artifact.manifest
    _describe_steps(artifact, console)
    blocks = [check for check in manifest.checks if check.kind == "fusion"]
    if blocks:
        worst = max(check.measured for check in blocks)
        proved = "fusion: {} blocks proved, worst error {:.1e} (bound {:g})"
        console.print(styled(proved, len(blocks), worst, blocks[0].bound))
    for check in manifest.checks:
        if check.kind in ("stored constants", "float32 arithmetic", "source file"):
            found = "{} ({}): error {:.1e} (bound {:.1e})"
            console.print(styled(found, check.kind, check.subject, check.measured, check.bound))


def _describe_steps(artifact: Artifact, console: Console) -> None:
    manifest = artifact.manifest
    errors = {check.subject: check for check in manifest.checks if check.kind == "graph"}
    rows = table("step", "nodes", "error in float64", "bound", "", right=("nodes", "error in float64", "bound"))
    for step in manifest.steps:
        check = errors.get(step.name)
        cells: tuple[RenderableType, ...] = ("", "", "")
        if check is not None:
            cells = (f"{check.measured:.1e}", f"{check.bound:g}", verdict(check.passed))
        rows.add_row(step.name, str(step.nodes), *cells)
    console.print(rows)
    # Below the table: in a row of it, a long text would leave no room for the figures.
    for step in manifest.steps:
        if step.detail:
            console.print(styled("{}: [yellow]unchanged:[/] {}", step.name, step.detail))
