"""`toolkit verify-fusion`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

import toolkit
from toolkit.cli.arguments import find_artifacts
from toolkit.cli.attempts import Attempts
from toolkit.cli.console import out, print_documents, progress_bar, styled, table, verdict, warn


def verify_fusion(
    source: Path | None = None,
    /,
    *,
    images: Path | None = None,
    full_frame: bool = True,
    directory: Path = Path("exported"),
    high_frequency: Literal["auto", "on", "off"] = "auto",
    scale: int | None = None,
    entry: str | None = None,
    preset: str | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Prove that merged and unmerged blocks, and the exported graph, are the same function.

    Each block is an affine map, so it equals its merged form everywhere exactly if both agree on zero and on every
    impulse; that is checked in float64. Then whole networks and the exported graph are compared on images, noise,
    constants, extremes, odd and tiny sizes: in float64, where the bounds hold on every machine, and in float32, which
    shows what float32 costs here. `graph float64` is the stored graph computed in float64: what rounding its constants
    to float32 changed. Of several artifacts one that cannot be read, or fails, does not keep the others from being
    proved: exit 1.

    Parameters
    ----------
    source
        A checkpoint in training form, or an fp32 artifact. Default: every fp32 artifact of the directory; without
        any, the toolkit's own x2 weights.
    images
        Directory of real images to compare on.
    full_frame
        Also compare one whole frame at the 4K workload.
    directory
        Where artifacts are.
    high_frequency
        As for `toolkit export`, when a checkpoint is given.
    scale
        As for `toolkit export`.
    entry
        As for `toolkit export`.
    preset
        Prove an untrained network of the paper's design space instead. See `toolkit presets`.
    json
        Print one JSON document.
    """
    reports = []
    options = high_frequency, scale, entry
    if preset is not None and source is not None:
        raise toolkit.InputError("--preset goes without a checkpoint or artifact")
    attempts = Attempts()
    targets = (
        [_Target(partial(toolkit.untrained_checkpoint, scale or 2, preset=preset))] if preset is not None else None
    )
    targets = targets or _targets(source, directory, options, attempts)
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
        raise SystemExit(toolkit.CheckFailed.exit_code)
    attempts.exit()


@dataclass(frozen=True)
class _Target:
    """What to prove: a checkpoint, which is loaded when its turn comes, and an artifact made from it."""

    load: Callable[[], toolkit.Checkpoint]
    artifact: toolkit.Artifact | None = None

    @property
    def name(self) -> str:
        return "the checkpoint" if self.artifact is None else str(self.artifact.path)


@dataclass(frozen=True)
class _Found:
    """A proof, and of what it is."""

    report: toolkit.FusionReport
    name: str

    @property
    def document(self) -> dict[str, object]:
        report = self.report
        facts = {"passed": report.passed, "graph": report.graph, "notes": report.notes, "checks": report.checks}
        return {"subject": self.name, **facts}


def _prove(target: _Target, images: Path | None, *, full_frame: bool) -> _Found:
    checkpoint, artifact = target.load(), target.artifact
    warn(checkpoint.notes)
    with progress_bar("verify-fusion") as progress:
        given = None if images is None else toolkit.real_images(images, _fixed_shape(artifact))
        found = toolkit.verify_fusion(checkpoint, artifact, given, full_frame=full_frame, progress=progress)
    name = checkpoint.file if artifact is None else f"{artifact.path} (from {artifact.manifest.source.file})"
    return _Found(found, name)


def _fixed_shape(artifact: toolkit.Artifact | None) -> toolkit.Shape | None:
    shape = None if artifact is None else artifact.manifest.shape
    return None if shape is None else toolkit.Shape(*shape)


Options = tuple[Literal["auto", "on", "off"], int | None, str | None]


def _targets(source: Path | None, directory: Path, options: Options, attempts: Attempts) -> list[_Target]:
    """What to prove. Artifacts of the directory that cannot be read are failed attempts."""
    if source is not None and source.suffix not in {".onnx", ".json"}:
        high_frequency, scale, entry = options
        checkpoint = toolkit.load_checkpoint(source, high_frequency=high_frequency, scale=scale, entry=entry)
        made = [item for item in find_artifacts(directory) if item.manifest.precision == "fp32"]
        matching = [item for item in made if toolkit.is_made_from(item, checkpoint)]
        return [_Target(lambda: checkpoint, item) for item in matching] or [_Target(lambda: checkpoint)]
    if options != ("auto", None, None):
        raise toolkit.InputError("--high-frequency, --scale and --entry go with a checkpoint")
    if source is not None:
        artifact = toolkit.Artifact.read(source)
        return [_Target(partial(toolkit.source_checkpoint, artifact), artifact)]
    found = find_artifacts(directory, lambda error: attempts.fail(str(directory), error))
    made = [item for item in found if item.manifest.precision == "fp32"]  # the other precisions are made from these
    if not made:
        return [] if attempts.failed else [_Target(toolkit.bundled_checkpoint)]
    provable = [item for item in made if item.manifest.source.layout != "rep_conv"]
    if left := [item.manifest.name for item in made if item not in provable]:
        warn((f"nothing to prove for {', '.join(left)}: made from a checkpoint that was fused already",))
    if not provable and not attempts.failed:
        raise toolkit.InputError(f"{directory} has nothing to prove", "Export a checkpoint in training form.")
    return [_Target(partial(toolkit.source_checkpoint, item), item) for item in provable]


_BLOCK_KINDS = {"fusion", "stored weights"}
"""Checks of a block; the others are of an input."""


def _print(report: toolkit.FusionReport, name: str) -> None:
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
