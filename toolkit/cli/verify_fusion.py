"""`toolkit verify-fusion`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

import toolkit
from toolkit.cli.console import err, out, print_documents, steps, table, verdict, warn


def verify_fusion(
    source: Path | None = None,
    /,
    *,
    images: Path | None = None,
    full_frame: bool = True,
    directory: Path = Path("exported"),
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Prove that merged and unmerged blocks, and the exported graph, are the same function.

    Each block is an affine map, so it equals its merged form everywhere exactly if both agree on zero and on every
    impulse; that is checked in float64. Then whole networks and the exported graph are compared on images, noise,
    constants, extremes, odd and tiny sizes.

    Parameters
    ----------
    source
        A checkpoint in training form, or an artifact. Default: everything in the directory of artifacts.
    images
        Directory of real images to compare on.
    full_frame
        Also compare one whole frame at the 4K workload.
    directory
        Where artifacts are.
    json
        Print one JSON document.
    """
    reports = []
    for checkpoint, artifact in _targets(source, directory):
        warn(checkpoint.notes)
        with steps("verify-fusion") as report:
            shape = None if artifact is None or artifact.manifest.shape is None else artifact.manifest.shape
            fixed = None if shape is None else toolkit.Shape(*shape)
            given = None if images is None else toolkit.real_images(images, fixed)
            found = toolkit.verify_fusion(checkpoint, artifact, given, full_frame=full_frame, report=report)
        reports.append(found)
        name = checkpoint.file if artifact is None else f"{artifact.path} (from {artifact.manifest.source.file})"
        if not json:
            _print(found, name)
    if json:
        documents = [{"passed": report.passed, "graph": report.graph, "checks": report.checks} for report in reports]
        print_documents(documents)
    if not all(report.passed for report in reports):
        err.print("[bold red]FAILED[/]")
        raise SystemExit(1)


def _targets(source: Path | None, directory: Path) -> list[tuple[toolkit.Checkpoint, toolkit.Artifact | None]]:
    """Checkpoints with an artifact made from each, when there is one."""
    if source is not None and source.suffix in {".onnx", ".json"}:
        artifact = toolkit.Artifact.read(source)
        return [(toolkit.source_checkpoint(artifact), artifact)]
    artifacts = {artifact.manifest.source.sha256: artifact for artifact in reversed(toolkit.find_artifacts(directory))}
    if source is None:
        if not artifacts:
            return [(toolkit.untrained_checkpoint(), None)]
        return [(toolkit.source_checkpoint(artifact), artifact) for artifact in reversed(artifacts.values())]
    checkpoint = toolkit.load_checkpoint(source)
    made = artifacts.get(checkpoint.sha256)
    return [(checkpoint, None) if made is None else (toolkit.source_checkpoint(made), made)]


def _print(report: toolkit.FusionReport, name: str) -> None:
    out.print(f"[bold]{escape(name)}[/]", soft_wrap=True)
    blocks = table("block", "impulses", "error", "rounding", "", right=("impulses", "error", "rounding"))
    for block in report.blocks:
        passed = all(check.passed for check in report.checks if check.name.endswith(f" {block.name}"))
        errors = f"{block.measured:.1e}", f"{block.rounding:.1e}"
        blocks.add_row(block.name, f"{block.impulses:,}", *errors, verdict(passed))
    bounds = report.bounds
    blocks.add_row("[dim]bound[/]", "", f"[dim]{bounds.block:.0e}[/]", f"[dim]{bounds.rounding:.1e}[/]")
    out.print(blocks)
    columns = "float64", "float32", "graph/unfused", "graph/fused"
    inputs = table("input", "size", *columns, "", right=columns)
    for item in report.comparisons:
        values = (item.float64, item.float32, item.graph_unfused, item.graph_fused)
        passed = all(check.passed for check in report.checks if check.name.startswith(f"{item.input}: "))
        cells = ["–" if value is None else f"{value:.1e}" for value in values]
        inputs.add_row(item.input, str(item.shape), *cells, verdict(passed))
    limits = (bounds.float64, bounds.float32, bounds.graph, bounds.graph)
    inputs.add_row("[dim]bound[/]", "", *(f"[dim]{limit:.0e}[/]" for limit in limits))
    out.print(inputs)
    warn(report.notes)
    checks = report.checks
    failed = sum(not check.passed for check in checks)
    outcome = f"[bold red]FAILED[/]: {failed} of" if failed else "[bold green]PASSED[/]: all"
    out.print(f"{outcome} {len(checks)} checks; graph run by {report.graph}\n")
