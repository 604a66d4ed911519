"""Public entry points, each given one file of a stranger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.artifact import Artifact
from toolkit.errors import ToolkitError
from toolkit.workloads import Shape

_SHAPE = Shape(16, 16)


class Unexpected(Exception):
    """An error that a command caught, and that is none of the toolkit's own."""


def checkpoint(path: Path, _: Path) -> None:
    from toolkit.network.checkpoint import load_checkpoint

    load_checkpoint(path)


def state(path: Path, _: Path) -> None:
    import torch

    from toolkit.network.architectures.rt4ksr.config import NetworkConfig
    from toolkit.training.config import TrainingConfig
    from toolkit.training.state import load_state

    network = NetworkConfig(scale=2, channels=6, blocks=2, hidden=10)
    load_state(path, TrainingConfig(data=str(path.parent), network=network), torch.device("cpu"))


def manifest(path: Path, _: Path) -> None:
    _use(Artifact.read(path))


def graph(path: Path, output: Path) -> None:
    """The manifest is made to fit the graph first, as a stranger would."""
    document = json.loads(path.with_suffix(".json").read_bytes())
    document["onnx_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(document))
    artifact = Artifact.read(path)
    refusals = [_refusal(use, artifact, output) for use in (_use, _look_into, _plan, _lower)]
    if all(refusals):
        raise next(error for error in refusals if error is not None)


def foreign(path: Path, output: Path) -> None:
    """A graph without a manifest."""
    from toolkit.graph.adoption.adopt import adopt

    adopt(path, directory=output)


def bundle(path: Path, _: Path) -> None:
    """The description of an engine; its files lie beside it."""
    from toolkit.runtimes.registry import list_engines
    from toolkit.runtimes.subject import load_session

    list_engines(path.parent.parent)
    _run(load_session(path.parent))


def report(path: Path, output: Path) -> None:
    from toolkit.profiling.gate import gate
    from toolkit.profiling.reporting.pages import write_pages
    from toolkit.profiling.reporting.side_by_side import read_titled

    titled = read_titled([path])
    titled[0].report.to_csv()
    gate(titled[0].report, titled[0].report)
    write_pages(titled, output / "page.html", output / "page.md", overwrite=True)


def budgets(path: Path, _: Path) -> None:
    from toolkit.quality.budget import Spent, read_budgets

    for limits in read_budgets(path).values():
        limits.used(Spent(0.1, 0.1, 0.1))


def config(path: Path, _: Path) -> None:
    from toolkit.training.config import read_config

    read_config(path, {}).to_toml()


def media(path: Path, output: Path) -> None:
    """A picture or video. The network is the smallest there is; it lies beside the file."""
    from toolkit.media.options import UpscaleOptions
    from toolkit.media.upscale import upscale

    network = path.parent / "network.onnx"
    options = UpscaleOptions(models=(network,), runtime="ort-cpu", threads=1, duration=1.0)
    done = upscale([path], output, options)
    for item in done.failed:
        if "bug in the toolkit" in item.remedy:
            raise Unexpected(f"{item.error}\n{item.traceback}")
        raise ToolkitError(item.error, item.remedy)


ENTRIES: dict[str, Callable[[Path, Path], None]] = {
    "checkpoint": checkpoint,
    "state": state,
    "manifest": manifest,
    "graph": graph,
    "foreign": foreign,
    "bundle": bundle,
    "report": report,
    "budgets": budgets,
    "config": config,
    "picture": media,
    "video": media,
}


def _refusal(use: Callable[..., object], artifact: Artifact, output: Path) -> ToolkitError | None:
    try:
        use(artifact, output) if use is _lower else use(artifact)
    except ToolkitError as error:
        return error
    return None


def _use(artifact: Artifact) -> None:
    from toolkit.runtimes.options import SessionOptions
    from toolkit.runtimes.subject import load_session

    session = load_session(artifact, "ort-cpu", SessionOptions(threads=1))
    _run(session)


def _run(session: Any) -> None:

    fixed = session.artifact.manifest.shape
    if fixed is not None and fixed[0] * fixed[1] > 1 << 20:
        return
    shape = Shape(*fixed) if fixed else _SHAPE
    session.bind(shape)
    port = session.artifact.manifest.input
    session.run(port.zeros(shape))


def _look_into(artifact: Artifact) -> None:
    from toolkit.graph.analysis.locality import bytes_per_pixel, locality
    from toolkit.graph.analysis.nodes import list_nodes
    from toolkit.graph.analysis.work import count_work
    from toolkit.graph.reading import read_model

    list_nodes(artifact)
    model = read_model(artifact.path)
    locality(model)
    bytes_per_pixel(model)
    count_work(artifact, _SHAPE)


def _plan(artifact: Artifact) -> None:
    from toolkit.native.planner import plan
    from toolkit.native.program import Unsupported

    try:
        plan(artifact.path, artifact.manifest)
    except Unsupported as error:
        raise ToolkitError(str(error)) from error


def _lower(artifact: Artifact, output: Path) -> None:
    from toolkit.graph.precision.convert import convert

    convert(artifact, "fp16", directory=output)
