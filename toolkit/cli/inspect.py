"""`toolkit inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import toolkit
from toolkit.cli.arguments import size
from toolkit.cli.console import out, print_documents, print_json, styled, table, verdict


def inspect(
    artifact: Path,
    /,
    *,
    nodes: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Show what is known about an artifact.

    Parameters
    ----------
    artifact
        The .onnx or .json file that `toolkit export` wrote.
    nodes
        List the nodes of the graph instead, whose names `toolkit convert` takes.
    json
        Print one JSON document; of the manifest, as it is.
    """
    found = toolkit.Artifact.read(artifact)
    if nodes:
        _list_nodes(found, json=json)
        return
    if json:
        print_json(found.path.with_suffix(".json").read_text("utf-8"))
        return
    manifest, network, source = found.manifest, found.manifest.network, found.manifest.source
    facts = table("", "")
    facts.show_header = False
    takes = "dynamic, even" if manifest.shape is None else size(manifest.shape)
    for name, value in (
        ("file", f"{found.path} ({manifest.onnx_bytes:,} bytes, sha256 {manifest.onnx_sha256[:12]}…)"),
        ("precision", manifest.precision),
        (
            "network",
            f"RT4KSR x{network.scale} ({network.variant}), {network.channels} channels, {network.blocks} blocks",
        ),
        ("parameters", f"{network.parameters:,} (in training: {source.parameters:,})"),
        ("high frequency", f"{'live' if network.high_frequency else 'dead'}: {network.high_frequency_reason}"),
        *(
            (
                end.name,
                f"{end.dtype} {end.layout} {list(end.shape)}, RGB {end.value_range[0]:g}..{end.value_range[1]:g}",
            )
            for end in (manifest.input, manifest.output)
        ),
        ("input size", takes),
        ("workload", manifest.workload or "none of the 4K workloads"),
        ("opset", str(manifest.opset)),
        ("source", f"{source.file} ({source.layout} layout, sha256 {source.sha256[:12]}…)"),
        ("weights", source.weights),
        ("made with", ", ".join(f"{tool} {number}" for tool, number in manifest.tools.items())),
    ):
        facts.add_row(styled("[bold]{}[/]", name), value)
    out.print(facts)
    checks = table("check", "measured", "bound", "", right=("measured", "bound"))
    for check in manifest.checks:
        checks.add_row(check.name, f"{check.measured:.2e}", f"{check.bound:.0e}", verdict(check.passed))
    out.print()
    out.print(checks)
    for quality in manifest.verdicts:
        out.print(styled("quality on {} {}", quality, verdict(quality.passed)), soft_wrap=True)


def _list_nodes(artifact: toolkit.Artifact, *, json: bool) -> None:
    found = toolkit.list_nodes(artifact)
    if json:
        print_documents([found])
        return
    rows = table("node", "operator", "result")
    for node in found:
        rows.add_row(node.name, node.operator, node.dtype)
    out.print(rows)
