"""What `toolkit profile` measures: artifacts and engines as they are, and what is exported or converted for one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from toolkit.artifact import Artifact, read_artifact
from toolkit.cli.console import progress_bar, warn
from toolkit.cli.values import find_artifacts, split
from toolkit.errors import InputError
from toolkit.graph.export import export
from toolkit.kinds import kind_of, split_runtime
from toolkit.network.architectures.registry import PRESETS
from toolkit.network.bundled import bundled_checkpoint
from toolkit.network.bundled_files import BUNDLED_SCALES
from toolkit.network.checkpoint import untrained_checkpoint
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.quality.conversion import convert
from toolkit.workloads import parse_workload

Given = Artifact | str
"""An artifact, or PATH or PATH@RUNTIME."""


def subjects(
    given: tuple[str, ...],
    directory: Path,
    presets: str | None,
    workloads: Sequence[str],
    scratch: Path,
    *,
    quick: bool = False,
) -> tuple[Given, ...]:
    """The given files, or untrained networks by name, or all artifacts in the directory, or the toolkit's own weights.

    Args:
        given: artifacts and engines.
        directory: where artifacts are looked up if none are given.
        presets: comma-separated names of untrained networks.
        workloads: that will be measured, by name; the scales of networks that have to be exported follow from them.
        scratch: directory for artifacts that have to be exported.
        quick: leave out the toolkit's own weights for other purposes, whose layers are those of the clean ones.

    Raises:
        InputError: both files and presets were given, a preset is unknown, or a file cannot be read.
    """
    if presets is None:
        return given or _found(directory, quick=quick) or tuple(_exported(None, BUNDLED_SCALES, scratch))
    if given:
        raise InputError("--preset cannot be combined with artifacts")
    names = split(presets)
    if not names:
        raise InputError("no preset was named", f"Choose from {', '.join(PRESETS)}.")
    warn(("UNTRAINED networks: times are real, images are noise",))
    return tuple(artifact for name in names for artifact in _exported(name, _scales(workloads), scratch))


def _found(directory: Path, *, quick: bool) -> tuple[Artifact, ...]:
    found = find_artifacts(directory)
    kept = [item for item in found if item.manifest.source.purpose in (None, "clean")]
    if not quick or not kept:
        return tuple(found)
    if left := [item.manifest.name for item in found if item not in kept]:
        warn((f"--quick leaves out {', '.join(left)}: other weights for the same layers. Name them to measure them",))
    return tuple(kept)


def lowered(found: Sequence[Given], precisions: Sequence[Precision], scratch: Path) -> tuple[Given, ...]:
    """The given subjects, and each fp32 artifact converted to the precisions that are missing, in `scratch`."""
    artifacts = [read_artifact(item) for item in found if _is_artifact(item)]
    manifests = [artifact.manifest for artifact in artifacts]
    present = {(item.precision, item.conversion.parent_sha256) for item in manifests if item.conversion is not None}
    made: list[Given] = []
    for artifact in artifacts:
        manifest = artifact.manifest
        missing = [
            name for name in precisions if name != FULL_PRECISION and (name, manifest.onnx_sha256) not in present
        ]
        if manifest.lowered or not missing:
            continue
        with progress_bar(f"convert {manifest.name}") as progress:
            # Only its speed is measured here, and the report shows its quality: it may be worse than bicubic.
            made += [
                convert(artifact, name, directory=scratch, progress=progress, allow_worse_than_bicubic=True)
                for name in missing
            ]
        warn((f"{manifest.name} was converted to {', '.join(missing)} for this run; `toolkit convert` keeps it",))
    return (*found, *made)


def own_precisions(found: Sequence[Given]) -> list[Precision]:
    """What is measured unless someone asks for precisions: fp32, or those of the artifacts if none is in fp32."""
    given = [item if isinstance(item, Artifact) else split_runtime(item)[0] for item in found]
    artifacts = [read_artifact(item) for item in given if isinstance(item, Artifact) or kind_of(item) == "artifact"]
    own = list(dict.fromkeys(artifact.manifest.precision for artifact in artifacts))
    return own if own and FULL_PRECISION not in own else [FULL_PRECISION]


def _scales(workloads: Sequence[str]) -> tuple[int, ...]:
    """The scales that workloads need; where they leave it open, those of the toolkit's own weights."""
    needed = dict.fromkeys(parse_workload(name).scale for name in workloads)
    return tuple(scale for scale in needed if scale is not None) or BUNDLED_SCALES


def _exported(preset: str | None, scales: Sequence[int], directory: Path) -> Iterator[Artifact]:
    """A network at each scale."""
    for scale in scales:
        source = bundled_checkpoint(scale) if preset is None else untrained_checkpoint(scale, preset=preset)
        with progress_bar(f"export {preset or 'the bundled weights'} x{scale}") as progress:
            yield export(source, directory=directory, progress=progress)


def _is_artifact(given: Given) -> bool:
    """Whether it is measured on all runtimes and in all precisions: not an engine, and given without @RUNTIME."""
    if isinstance(given, Artifact):
        return True
    path, runtime = split_runtime(given)
    return runtime is None and kind_of(path) == "artifact"
