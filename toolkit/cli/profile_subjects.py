"""What `toolkit profile` measures: artifacts and engines as they are, and what is made for one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import toolkit
from toolkit.cli.arguments import find_artifacts, split
from toolkit.cli.console import progress_bar, warn

Subject = toolkit.Artifact | Path


def subjects(given: tuple[Path, ...], directory: Path, presets: str | None, scratch: Path) -> tuple[Subject, ...]:
    """What was given; or untrained networks by name; or every artifact of the directory, or the toolkit's own weights.

    `scratch` is a directory for what has to be exported.

    Raises:
        InputError: both files and presets were given, a preset is none, or a file cannot be read.
    """
    if presets is None:
        return given or tuple(find_artifacts(directory)) or tuple(_exported(None, scratch))
    if given:
        raise toolkit.InputError("--preset goes without artifacts, which say themselves what they are")
    names = split(presets)
    if not names:
        raise toolkit.InputError("no preset was named", f"Choose from {', '.join(toolkit.PRESETS)}.")
    warn(("UNTRAINED networks: times are real, pictures are noise",))
    return tuple(artifact for name in names for artifact in _exported(name, scratch))


def lowered(found: Sequence[Subject], precisions: Sequence[toolkit.Precision], scratch: Path) -> tuple[Subject, ...]:
    """The same, and each fp32 artifact among them in the precisions it does not have there yet, made in `scratch`."""
    artifacts = [_read(subject) for subject in found if not _is_engine(subject)]
    manifests = [artifact.manifest for artifact in artifacts]
    had = {(item.precision, item.conversion.parent_sha256) for item in manifests if item.conversion is not None}
    made: list[Subject] = []
    for artifact in artifacts:
        manifest = artifact.manifest
        missing = [name for name in precisions if name != "fp32" and (name, manifest.onnx_sha256) not in had]
        if manifest.precision != "fp32" or not missing:
            continue
        with progress_bar(f"convert {manifest.name}") as progress:
            # Only timed here, and its quality stands beside its time: it may be worse than bicubic.
            made += [
                toolkit.convert(artifact, name, directory=scratch, progress=progress, allow_worse_than_bicubic=True)
                for name in missing
            ]
        warn((f"{manifest.name} was converted to {', '.join(missing)} for this run; `toolkit convert` keeps it",))
    return (*found, *made)


def _exported(preset: str | None, directory: Path) -> Iterator[toolkit.Artifact]:
    """A network at the scale of each workload."""
    for workload in toolkit.WORKLOADS.values():
        scale = workload.scale or 2
        source = (
            toolkit.bundled_checkpoint(scale) if preset is None else toolkit.untrained_checkpoint(scale, preset=preset)
        )
        with progress_bar(f"export {preset or 'the bundled weights'} x{scale}") as progress:
            yield toolkit.export(source, directory=directory, progress=progress)


def _is_engine(subject: Subject) -> bool:
    return isinstance(subject, Path) and subject.suffix == ".engine"


def _read(subject: Subject) -> toolkit.Artifact:
    return toolkit.Artifact.read(subject) if isinstance(subject, Path) else subject
