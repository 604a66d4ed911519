"""The networks that are compared: RT4KSR, and those of others."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from toolkit.artifact import Artifact
from toolkit.errors import ToolkitError
from toolkit.graph.adoption.adopt import adopt
from toolkit.graph.analysis.work import Work
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.network.checkpoint import Checkpoint, load_checkpoint, untrained_checkpoint
from toolkit.precisions import Precision
from toolkit.profiling.measuring.roofline import work_of
from toolkit.runtimes.registry import find_runtime
from toolkit.workloads import Shape

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
DATA = Path(os.environ.get("RT4KSR_DATA", "../shared"))

Lowered = dict[Precision, Artifact]


def own(scale: int, directory: Path) -> Lowered:
    """RT4KSR with uint8 NHWC frames in all precisions."""
    return lowered(export(_checkpoint(scale), ExportOptions(uint8="NHWC"), directory), PRECISIONS, directory)


def _checkpoint(scale: int) -> Checkpoint:
    path = DATA / "checkpoints" / f"rt4ksr_x{scale}.pth"
    if path.is_file():
        return load_checkpoint(path)
    print(f"no {path}: measuring an untrained network")
    return untrained_checkpoint(scale)


def lowered(artifact: Artifact, precisions: Sequence[Precision], directory: Path) -> Lowered:
    """A float32 artifact, and its conversions in a directory; one that fails is named with the reason.

    Conversions fit weights to images, which takes minutes for large networks.
    """
    made: Lowered = {"fp32": artifact}
    for precision in precisions:
        if precision == "fp32":
            continue
        print(f"converting {artifact.manifest.name} to {precision}", file=sys.stderr)
        name = f"{artifact.manifest.name} in {precision}"
        found = _tried(name, lambda precision=precision: convert(artifact, precision, directory=directory))  # type: ignore[misc]
        if found is not None:
            made[precision] = found
    return made


def works(artifacts: Lowered, shape: Shape) -> dict[Precision, Work]:
    """Work of the engine for a frame, without the multiply-adds that it avoids."""
    return {precision: work_of("native", artifact, shape) for precision, artifact in artifacts.items()}


def shared(directory: Path) -> Iterator[Artifact]:
    """Networks of others in the data directory, adopted or exported one by one; those that fail are named."""
    paths = sorted((DATA / "models").glob("*.onnx")) + sorted((DATA / "models").glob("*.pth"))
    if not paths:
        print(f"there are no networks in {DATA / 'models'}: set RT4KSR_DATA")
    for path in paths:
        made = _tried(path.name, lambda path=path: _read(path, directory))  # type: ignore[misc]
        if made is not None:
            yield made


def _read(path: Path, directory: Path) -> Artifact:
    if path.suffix == ".onnx":
        return adopt(path, directory=directory)
    return export(load_checkpoint(path), directory=directory)


def _tried(name: str, work: Callable[[], Artifact]) -> Artifact | None:
    try:
        return work()
    except ToolkitError as error:
        print(f"\n{name}: {error.args[0]}")
        return None


def refused(artifact: Artifact) -> str:
    """Why the engine does not take an artifact; empty if it does."""
    return find_runtime("native").refusal(artifact, artifact.manifest.precision)
