"""The lanes of a ranking: each is a network on a runtime, in a precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.artifact import Artifact
from toolkit.checks import SIMULATED
from toolkit.errors import InputError, ToolkitError, described
from toolkit.kinds import ENGINE_SUFFIX, split_runtime
from toolkit.manifest_parts import is_plain_name
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.quality.conversion import convert
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.registry import find_runtime
from toolkit.runtimes.subject import Subject, read_source
from toolkit.system.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from toolkit.network.checkpoint import Checkpoint
    from toolkit.runtimes.subject import Source

    Given = Subject | Artifact | Engine | Checkpoint | Path | str


@dataclass(frozen=True)
class Lane:
    """A network on a runtime, in a precision.

    Attributes:
        network: name of the network in the table.
        runtime: by name.
        precision: that is asked for.
        subject: what runs; None: it could not be made.
        obstacle: why it cannot run here; empty if nothing is known against it.
        demanded: its runtime was named together with the network, or is that of an engine.
    """

    network: str
    runtime: str
    precision: Precision
    subject: Subject | None = None
    obstacle: str = ""
    demanded: bool = False

    @property
    def judged(self) -> Subject | None:
        """What its quality is measured on: the subject itself if it takes every size.

        An engine for one size would need images of that size. The artifact that it was built from takes others, and
        `simulated` computes in that artifact's own arithmetic. None: there is no such artifact.
        """
        if self.subject is None or self.subject.fixed is None:
            return self.subject
        origin = self.subject.origin
        return None if origin is None or origin.contract.fixed is not None else Subject(origin, SIMULATED)


@dataclass(frozen=True)
class Named:
    """A network with its name in the table.

    Attributes:
        name: unique among the networks of a ranking.
        source: an artifact or an engine.
        runtime: that was named together with it; None: none was.
    """

    name: str
    source: Artifact | Engine
    runtime: str | None = None


def read_networks(given: Sequence[Given], scratch: Path, progress: ProgressCallback) -> list[Named]:
    """Read networks; checkpoints are exported.

    Args:
        given: what was given.
        scratch: directory for artifacts that have to be exported.
        progress: called as each is read.

    Raises:
        InputError: nothing was given, a runtime is unknown, or a file cannot be read.
    """
    if not given:
        raise InputError("there is nothing to rank", "Name checkpoints, artifacts or engines.")
    read = [_split(item) for item in given]
    stems = [_stem(place, source) for place, source, _ in read]
    networks = []
    for number, (place, source, runtime) in enumerate(read):
        if runtime is not None:
            find_runtime(runtime)  # references, such as `simulated`, have no frame time
        stem = stems[number]
        unique = stem if stems.count(stem) == 1 else place if place is not None else f"{stem} ({number + 1})"
        progress(Progress(f"reading {unique}", number / len(read)))
        exported = source if isinstance(source, Artifact | Engine) else _exported(source, stem, scratch / str(number))
        networks.append(Named(unique, exported, runtime))
    return networks


def lanes_of(
    networks: Sequence[Named],
    runtimes: Sequence[str],
    precisions: Sequence[Precision],
    threads: int,
    scratch: Path,
    progress: ProgressCallback,
) -> list[Lane]:
    """All lanes. Those of engines, and of networks that were named with a runtime, have that one.

    An fp32 artifact is measured in each precision, converted where it is another; other artifacts in their own.

    Args:
        networks: to rank.
        runtimes: for all other artifacts.
        precisions: of fp32 artifacts.
        threads: CPU threads of the runtimes; 0: all usable CPUs.
        scratch: directory for artifacts that have to be converted.
        progress: called as each is converted.

    Raises:
        InputError: a runtime is unknown.
    """
    for name in runtimes:
        find_runtime(name)
    lanes: list[Lane] = []
    for number, network in enumerate(networks):
        if isinstance(network.source, Engine):
            lanes.append(_lane(network.name, Subject.of(network.source, network.runtime, threads), demanded=True))
            continue
        own = [network.runtime] if network.runtime is not None else runtimes
        for precision, found in _in_precisions(network, precisions, scratch / f"lower-{number}", progress):
            for runtime in own:
                demanded = network.runtime is not None
                if isinstance(found, Artifact):
                    lanes.append(_lane(network.name, Subject(found, runtime, threads), demanded=demanded))
                else:
                    lanes.append(Lane(network.name, runtime, precision, None, found, demanded))
    return lanes


def _exported(checkpoint: Checkpoint, stem: str, directory: Path) -> Artifact:
    """Imports torch, which a ranking of artifacts alone does without."""
    from toolkit.graph.export import ExportOptions, export

    return export(checkpoint, ExportOptions(name=stem if is_plain_name(stem) else None), directory)


def _in_precisions(
    network: Named, precisions: Sequence[Precision], scratch: Path, progress: ProgressCallback
) -> Iterator[tuple[Precision, Artifact | str]]:
    """An artifact in each precision, or why there is none."""
    artifact = network.source
    assert isinstance(artifact, Artifact)  # noqa: S101  (engines are in one precision)
    if artifact.manifest.lowered:
        yield artifact.manifest.precision, artifact
        return
    for precision in precisions:
        if precision == FULL_PRECISION:
            yield precision, artifact
            continue
        progress(Progress(f"converting {network.name} to {precision}"))
        try:
            # Its quality is measured here, and the table shows it: it may be worse than bicubic.
            yield precision, convert(artifact, precision, directory=scratch, allow_worse_than_bicubic=True)
        except ToolkitError as error:
            yield precision, described(error)


def _lane(network: str, subject: Subject, *, demanded: bool) -> Lane:
    return Lane(network, subject.runtime, subject.precision, subject, subject.obstacle, demanded)


def _split(given: Given) -> tuple[str | None, Source, str | None]:
    """The path of what was given, its source, and the runtime that was named together with it."""
    match given:
        case Subject(source, runtime):
            if given.lowered_to not in (None, given.precision if given.manifest is None else given.manifest.precision):
                raise InputError(f"{given.label} is to be lowered by its runtime", "Rank artifacts in that precision.")
            return None, source, runtime
        case str() | Path():
            path, named = split_runtime(given)
            return str(path), read_source(path), named
        case Artifact() | Engine():
            return str(given.path), given, None
        case checkpoint:
            return None, checkpoint, None


def _stem(place: str | None, source: Source) -> str:
    """The name of a network that was given alone."""
    if isinstance(source, Artifact | Engine):
        return source.path.name.removesuffix(ENGINE_SUFFIX).removesuffix(".onnx")
    return Path(source.file if place is None else place).stem
