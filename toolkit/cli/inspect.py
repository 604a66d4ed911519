"""`toolkit inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from toolkit.cli.console import budget_verdict, out, print_documents, print_json, styled, table, verdict
from toolkit.cli.export import describe_findings
from toolkit.cli.options import Json, NetworkPath, flag
from toolkit.cli.values import size
from toolkit.clients import client_support
from toolkit.errors import InputError
from toolkit.kinds import kind_of

if TYPE_CHECKING:
    from toolkit.artifact import Artifact
    from toolkit.runtimes.engine import Engine


def inspect(
    artifact: NetworkPath,
    /,
    *,
    nodes: Annotated[
        bool, flag("List the nodes of the graph instead, with the names that `toolkit convert` takes.")
    ] = False,
    json: Annotated[
        Json, Parameter(help="Print one JSON document: the manifest, the nodes, or the description of the engine.")
    ] = False,
) -> None:
    """Show the manifest of an artifact (network, precision, source, checks, quality), or what an engine was built for.

    Parameters
    ----------
    artifact
        ONNX artifact (.onnx or .json), or an engine bundle.
    """
    from toolkit.artifact import Artifact

    if kind_of(artifact) == "engine":
        if nodes:
            raise InputError(f"{artifact} is an engine bundle, which has no graph", "Give the artifact for --nodes.")
        _inspect_engine(artifact, json=json)
        return
    found = Artifact.read(artifact)
    if nodes:
        _list_nodes(found, json=json)
    elif json:
        print_json(found.path.with_suffix(".json").read_text("utf-8"))
    else:
        _print(found)


def _print(artifact: Artifact) -> None:
    manifest = artifact.manifest
    facts = table("", "")
    facts.show_header = False
    for name, value in _facts(artifact):
        facts.add_row(styled("[bold]{}[/]", name), value)
    out.print(facts)
    if manifest.source.findings:
        out.print()
        describe_findings(artifact, out)
    checks = table("check", "measured", "bound", "", right=("measured", "bound"))
    for check in manifest.checks:
        checks.add_row(check.name, f"{check.measured:.2e}", f"{check.bound:.0e}", verdict(check.passed))
    out.print()
    out.print(checks)
    for quality in manifest.verdicts:
        out.print(styled("quality on {} {}", quality, budget_verdict(quality.outcome)), soft_wrap=True)


def _facts(artifact: Artifact) -> list[tuple[str, str]]:
    manifest, network, source = artifact.manifest, artifact.manifest.network, artifact.manifest.source
    return [
        ("file", f"{artifact.path} ({manifest.onnx_bytes:,} bytes, sha256 {manifest.onnx_sha256[:12]}…)"),
        ("precision", manifest.precision),
        ("network", str(network)),
        ("parameters", f"{network.parameters:,} (in training: {source.parameters:,})"),
        *(() if network.details is None else network.details.facts),
        *((port.name, str(port)) for port in (manifest.input, manifest.output)),
        ("input size", f"dynamic, {manifest.sizes}" if manifest.shape is None else size(manifest.shape)),
        ("taken by", f"{client_support(manifest.precision)} (docs/clients.md)"),
        ("workload", manifest.workload or "none of the 4K workloads"),
        ("opset", str(manifest.opset)),
        ("source", f"{source.file} ({source.layout} layout, sha256 {source.sha256[:12]}…)"),
        ("weights", source.weights or "no copy: the network is not the toolkit's own"),
        ("licence", source.licence or "not stated"),
        ("created with", ", ".join(f"{tool} {number}" for tool, number in manifest.tools.items())),
    ]


def _inspect_engine(path: Path, *, json: bool) -> None:
    from toolkit.runtimes.engine import Engine

    engine = Engine.read(path)
    if json:
        print_documents([engine.info])
        return
    facts = table("", "")
    facts.show_header = False
    for name, value in _engine_facts(engine):
        facts.add_row(styled("[bold]{}[/]", name), value)
    out.print(facts)


def _engine_facts(engine: Engine) -> list[tuple[str, str]]:
    from toolkit.runtimes.registry import engine_state

    info, state = engine.info, engine_state(engine.path)
    total = sum(file.size for file in info.files.values())
    return [
        ("engine", f"{engine.path} ({total:,} bytes in {len(info.files)} files)"),
        ("runtime", info.runtime),
        ("built from", f"{info.artifact} (sha256 {info.artifact_sha256[:12]}…)"),
        ("precision", info.precision),
        ("input size", size(info.shape)),
        *(info.settings | info.identity | info.machine | info.read_back).items(),
        ("runs here", "yes" if state.runs else f"no: {state.reason}. {state.remedy}"),
    ]


def _list_nodes(artifact: Artifact, *, json: bool) -> None:
    from toolkit.graph.analysis.nodes import list_nodes

    found = list_nodes(artifact)
    if json:
        print_documents([found])
        return
    rows = table("node", "operator", "result")
    for node in found:
        rows.add_row(node.name, node.operator, node.dtype)
    out.print(rows)
