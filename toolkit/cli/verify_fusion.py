"""`toolkit verify-fusion`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.attempts import Attempts
from toolkit.cli.console import out, print_documents, progress_bar, styled, table, verdict, warn
from toolkit.cli.options import (
    ArtifactDirectory,
    CheckpointOptions,
    ImageDirectory,
    Json,
    SourcePath,
)
from toolkit.cli.values import find_artifacts
from toolkit.errors import CheckFailed, InputError
from toolkit.kinds import DEFAULT_DIRECTORY, kind_of
from toolkit.system.progress import Progress
from toolkit.workloads import Shape

if TYPE_CHECKING:
    from toolkit.artifact import Artifact
    from toolkit.network.checkpoint import Checkpoint
    from toolkit.verification.fusion import FusionReport
    from toolkit.verification.merges import MergeReport

_CHECKPOINT = CheckpointOptions()


def verify_fusion(
    source: SourcePath | None = None,
    /,
    *,
    images: ImageDirectory = None,
    full_frame: Annotated[bool, Parameter(help="Also compare one whole frame at the 4K workload.")] = True,
    directory: ArtifactDirectory = DEFAULT_DIRECTORY,
    checkpoint: CheckpointOptions = _CHECKPOINT,
    json: Json = False,
) -> None:
    """Prove that the merged network and the exported graph compute the same function as the trained network.

    Each block is an affine map, so it equals its merged form everywhere if and only if both agree on zero and on every
    impulse; this is checked in float64. Then whole networks and the exported graph are compared on images, noise,
    constants, extreme values, and odd and tiny sizes: in float64, where the bounds hold on every machine, and in
    float32, which shows the float32 error on this machine. `graph float64` is the stored graph computed in float64: the
    effect of rounding its constants to float32. If one of several artifacts cannot be read or fails, the others are
    still checked; the exit code is then 1.

    For an ONNX file of any other network, list the parts that are one convolution each (reparameterizable blocks, batch
    norms, constant scales) and prove that in the same way; nothing is written.

    Parameters
    ----------
    source
        A checkpoint in training form, an fp32 artifact, or an ONNX file of any image network. Default: all fp32
        artifacts in --directory; if there are none, the toolkit's own x2 weights.
    """
    if source is not None and _is_graph_of_others(source):
        _prove_graph(source, checkpoint, json=json)
        return
    reports = []
    attempts = Attempts()
    targets = _targets(source, directory, checkpoint, attempts)
    attempts.alone = len(targets) == 1 and not attempts.failed
    for target in targets:
        found = attempts.attempt(target.name, partial(_prove, target, images, full_frame=full_frame))
        if found is None:
            continue
        reports.append(found)
        if not json:
            _print(found.report, found.name)
    if json:
        print_documents([*(found.document for found in reports), *attempts.failed])
    if not all(found.report.passed for found in reports):
        raise SystemExit(CheckFailed.exit_code)
    attempts.exit()


def _is_graph_of_others(path: Path) -> bool:
    """Whether only the graph itself can be examined: an ONNX file without a manifest, or an artifact made from one."""
    from toolkit.artifact import Artifact

    kind = kind_of(path)
    return kind == "graph" or (kind == "artifact" and Artifact.read(path).weights_path is None)


def _prove_graph(path: Path, options: CheckpointOptions, *, json: bool) -> None:
    """A graph from elsewhere.

    Raises:
        InputError: options that are for checkpoints, or the file is no graph of an image network.
    """
    if options != CheckpointOptions():
        raise InputError(
            "--high-frequency, --scale, --entry, --architecture, --assume, --weights and --preset require a checkpoint"
        )
    from toolkit.verification.merges import verify_merges

    with progress_bar("verify-fusion") as progress:
        progress(Progress(f"merging the convolutions of {path.name}"))
        report = verify_merges(path)
    if json:
        merged = {"merges": report.merges, "refusals": report.refusals}
        print_documents([{"subject": str(path), "passed": report.passed, "checks": report.checks, **merged}])
    else:
        _print_merges(report, str(path))
    if not report.passed:
        raise SystemExit(CheckFailed.exit_code)


@dataclass(frozen=True)
class _Target:
    """What to prove: a checkpoint, loaded only when it is checked, and optionally an artifact made from it."""

    load: Callable[[], Checkpoint]
    artifact: Artifact | None = None

    @property
    def name(self) -> str:
        return "the checkpoint" if self.artifact is None else str(self.artifact.path)


@dataclass(frozen=True)
class _Found:
    """A proof and the name of its subject."""

    report: FusionReport
    name: str

    @property
    def document(self) -> dict[str, object]:
        report = self.report
        facts = {"passed": report.passed, "graph": report.graph, "notes": report.notes, "checks": report.checks}
        return {"subject": self.name, **facts}


def _prove(target: _Target, images: Path | None, *, full_frame: bool) -> _Found:
    checkpoint, artifact = target.load(), target.artifact
    warn(checkpoint.notes)
    from toolkit.verification.fusion import verify_fusion as run
    from toolkit.verification.inputs import real_images

    with progress_bar("verify-fusion") as progress:
        given = None if images is None else real_images(images, _fixed_shape(artifact))
        found = run(checkpoint, artifact, given, full_frame=full_frame, progress=progress)
    name = checkpoint.file if artifact is None else f"{artifact.path} (from {artifact.manifest.source.file})"
    return _Found(found, name)


def _fixed_shape(artifact: Artifact | None) -> Shape | None:
    shape = None if artifact is None else artifact.manifest.shape
    return None if shape is None else Shape(*shape)


def _targets(source: Path | None, directory: Path, options: CheckpointOptions, attempts: Attempts) -> list[_Target]:
    """What to prove. Artifacts in the directory that cannot be read are failed attempts.

    Raises:
        InputError: options that exclude each other, or there is nothing to prove.
    """
    options.check(source)
    if source is not None and kind_of(source) == "checkpoint":
        return _of_checkpoint(source, directory, options)
    if options.reads_file or (options.scale is not None and options.preset is None and options.weights is None):
        raise InputError("--high-frequency, --scale, --entry, --architecture and --assume require a checkpoint")
    from toolkit.artifact import Artifact

    artifact = None if source is None else Artifact.read(source)
    from toolkit.graph.source import source_checkpoint
    from toolkit.network.bundled import bundled_checkpoint
    from toolkit.network.checkpoint import untrained_checkpoint

    if options.preset is not None:
        return [_Target(partial(untrained_checkpoint, options.scale or 2, preset=options.preset))]
    if options.weights is not None:
        return [_Target(partial(bundled_checkpoint, options.scale or 2, options.weights))]
    if artifact is not None:
        return [_Target(partial(source_checkpoint, artifact), artifact)]
    return _of_directory(directory, attempts)


def _of_checkpoint(source: Path, directory: Path, options: CheckpointOptions) -> list[_Target]:
    """A checkpoint with each fp32 artifact that was made from it, or alone."""
    from toolkit.graph.source import is_made_from

    loaded = options.load(source)
    made = [item for item in find_artifacts(directory) if not item.manifest.lowered]
    matching = [item for item in made if is_made_from(item, loaded)]
    return [_Target(lambda: loaded, item) for item in matching] or [_Target(lambda: loaded)]


def _of_directory(directory: Path, attempts: Attempts) -> list[_Target]:
    """All fp32 artifacts in a directory, from which the other precisions are converted."""
    from toolkit.graph.source import source_checkpoint
    from toolkit.network.bundled import bundled_checkpoint

    found = find_artifacts(directory, lambda error: attempts.fail(str(directory), error))
    made = [item for item in found if not item.manifest.lowered]
    if not made:
        return [] if attempts.failed else [_Target(bundled_checkpoint)]
    provable = [item for item in made if not item.manifest.source.merged and item.weights_path is not None]
    if skipped := [item.manifest.name for item in made if item not in provable]:
        names = ", ".join(skipped)
        warn((f"nothing to prove for {names}: exported from a graph, or from a checkpoint that was already fused",))
    if not provable and not attempts.failed:
        raise InputError(
            f"{directory} has no artifact of an unfused checkpoint, so there is nothing to prove",
            "Export a checkpoint in training form.",
        )
    return [_Target(partial(source_checkpoint, item), item) for item in provable]


_BLOCK_KINDS = {"fusion", "stored weights"}
"""Kinds of checks whose subject is a block; the subject of the others is an input."""


def _print(report: FusionReport, name: str) -> None:
    out.print(styled("[bold]{}[/]", name), soft_wrap=True)
    blocks = table("block", "impulses", "error", "rounding", "", right=("impulses", "error", "rounding"))
    for block in report.blocks:
        passed = all(
            check.passed for check in report.checks if check.kind in _BLOCK_KINDS and check.subject == block.name
        )
        errors = f"{block.measured:.1e}", f"{block.rounding:.1e}"
        blocks.add_row(block.name, f"{block.impulses:,}", *errors, verdict(passed))
    bounds = report.bounds
    blocks.add_row("bound", "", f"{bounds.block:.0e}", f"{bounds.rounding:.1e}", style="dim")
    out.print(blocks)
    columns = "float64", "graph float64", "float32", "graph/unfused", "graph/fused"
    inputs = table("input", "size", *columns, "", right=columns)
    for item in report.comparisons:
        values = (item.float64, item.graph_float64, item.float32, item.graph_unfused, item.graph_fused)
        passed = all(
            check.passed for check in report.checks if check.kind not in _BLOCK_KINDS and check.subject == item.input
        )
        cells = ["–" if value is None else f"{value:.1e}" for value in values]
        inputs.add_row(item.input, str(item.shape), *cells, verdict(passed))
    limits = (bounds.float64, bounds.graph_float64, bounds.float32, bounds.graph, bounds.graph)
    inputs.add_row("bound", "", *(f"{limit:.1e}" for limit in limits), style="dim")
    out.print(inputs)
    warn(report.notes)
    checks = report.checks
    failed = sum(not check.passed for check in checks)
    outcome = styled("[bold red]FAILED[/]: {} of", failed) if failed else styled("[bold green]PASSED[/]: all")
    out.print(styled("{} {} checks; graph run by {}\n", outcome, len(checks), report.graph))


def _print_merges(report: MergeReport, name: str) -> None:
    out.print(styled("[bold]{}[/]", name), soft_wrap=True)
    if report.merges:
        numeric = "nodes", "multiply-adds", "merged", "impulses", "error"
        rows = table("convolution", "kernel", *numeric, "", right=numeric)
        for merge, proof in zip(report.merges, report.proofs, strict=True):
            height, width = merge.kernel
            counts = [f"{count:,}" for count in (len(merge.nodes), merge.removed, merge.merged, merge.impulses)]
            measured = f"{proof.measured:.1e}", verdict(proof.passed)
            rows.add_row(merge.name, f"{width}x{height}", *counts, *measured)
        rows.add_row("bound", *[""] * 5, f"{report.proofs[0].bound:.0e}", style="dim")
        out.print(rows)
        out.print("multiply-adds per pixel of the part's input", style="dim")
    for node, reason in report.refusals:
        out.print(styled("not merged: {}: {}", node, reason), soft_wrap=True)
    before, after = report.nodes
    if not report.merges:
        out.print(styled("nothing to merge in {} nodes\n", before))
        return
    outcome = styled("[bold green]PASSED[/]") if report.passed else styled("[bold red]FAILED[/]")
    whole = f"{report.whole.measured:.1e}", f"{report.whole.bound:.0e}"
    out.print(
        styled("{}: {} nodes become {}; the whole graph differs by {} (bound {})\n", outcome, before, after, *whole)
    )
