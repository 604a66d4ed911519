"""Plan of a profile: the cells to measure, and why some cannot run.

A cell is one configuration: an artifact or engine on a runtime, at a workload and in a precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolkit.artifact import Artifact, Contract, Manifest
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.registry import BASELINE, find_runtime
from toolkit.runtimes.subject import Subject
from toolkit.workloads import WORKLOADS, Shape, Workload, parse_workload, workload_for_scale

_ANY_SIZE = "1280x720"
"""Input size (WIDTHxHEIGHT) if neither the user nor the artifact specifies one."""


@dataclass(frozen=True)
class CellPlan:
    """A subject at a workload.

    Attributes:
        workload: size of the input.
        runtime: of the subject.
        precision: of the subject.
        subject: what runs; None: no artifact fits the workload.
        obstacle: the reason why the cell cannot run, or empty.
    """

    workload: Workload
    runtime: str
    precision: Precision
    subject: Subject | None = None
    obstacle: str = ""

    @classmethod
    def of(cls, subject: Subject, workload: Workload) -> CellPlan:
        return cls(workload, subject.runtime, subject.precision, subject, subject.obstacle)

    @property
    def artifact(self) -> Artifact | None:
        """The artifact; of an engine what it was built from, if that is still next to it."""
        return None if self.subject is None else self.subject.origin

    @property
    def engine(self) -> Engine | None:
        """The engine, if the subject is one."""
        return None if self.subject is None else self.subject.engine

    @property
    def manifest(self) -> Manifest | None:
        """Manifest of the network that runs."""
        return None if self.subject is None else self.subject.manifest

    @property
    def name(self) -> str:
        """Name of the artifact or the engine bundle."""
        return "" if self.subject is None else self.subject.name

    @property
    def network(self) -> tuple[str, str]:
        """Workload and weights: a speed-up is only computed between cells with the same ones."""
        return self.workload.name, "" if self.manifest is None else self.manifest.source.network_sha256


def plan(
    artifacts: Sequence[Artifact],
    runtimes: Sequence[str],
    workloads: Sequence[Workload],
    precisions: Sequence[Precision],
    subjects: Sequence[Subject] = (),
    *,
    baseline: bool = True,
) -> list[CellPlan]:
    """All cells, with the baseline of each network and workload first, or in the given order without `baseline`.

    Each artifact is measured at each workload that it supports (the same scale, and the same size if its size is
    fixed). If no artifact has a requested precision, PyTorch converts the network itself, and the other runtimes report
    the missing artifact. `subjects` have a runtime and a precision: each is one cell at each workload that it supports,
    or at its own, as an engine that was built for another size.

    Raises:
        InputError: a runtime is unknown.
    """
    cells = [CellPlan.of(subject, workload) for subject in subjects for workload in _workloads_of(subject, workloads)]
    for workload in workloads if artifacts or not subjects else ():
        serving = [artifact for artifact in artifacts if serves(artifact.contract, workload)]
        if not serving:
            wanted = "dynamic" if workload.scale is None else f"x{workload.scale}"
            reason = f"no artifact for {workload.name}: export a checkpoint as a {wanted} artifact"
            cells += [CellPlan(workload, runtime, precisions[0], None, reason) for runtime in runtimes]
            continue
        for precision in precisions:
            typed = [artifact for artifact in serving if artifact.manifest.precision == precision]
            for artifact in typed or serving:
                cells += [_cell(runtime, workload, precision, artifact) for runtime in runtimes]
    return _with_baselines(cells) if baseline else cells


def _with_baselines(cells: Iterable[CellPlan]) -> list[CellPlan]:
    """Each group of comparable cells, with the baseline first: the unfused network in fp32."""
    groups: dict[tuple[str, str], list[CellPlan]] = {}
    for cell in cells:
        groups.setdefault(cell.network, []).append(cell)
    ordered: list[CellPlan] = []
    for group in groups.values():
        artifact = next((cell.artifact for cell in group if cell.artifact is not None), None)
        others = [cell for cell in group if (cell.runtime, cell.precision) != (BASELINE, FULL_PRECISION)]
        if artifact is not None:
            ordered.append(_cell(BASELINE, group[0].workload, FULL_PRECISION, artifact))
        ordered += others if artifact is not None else group
    return ordered


def _cell(runtime: str, workload: Workload, precision: Precision, artifact: Artifact) -> CellPlan:
    find_runtime(runtime)  # references, such as `simulated`, are not measured
    return CellPlan.of(Subject(artifact, runtime, lowered_to=precision), workload)


def _workloads_of(subject: Subject, workloads: Sequence[Workload]) -> list[Workload]:
    served = [workload for workload in workloads if serves(subject.contract, workload)]
    if served:
        return served
    if subject.engine is not None:
        return [_engine_workload(subject.engine)]
    return default_workloads([] if subject.artifact is None else [subject.artifact])


def _engine_workload(engine: Engine) -> Workload:
    manifest = engine.manifest
    if engine.info.shape is None:
        return parse_workload(_usual(manifest))
    shape = Shape(*engine.info.shape)
    named = (job for job in WORKLOADS.values() if (job.shape, job.scale) == (shape, manifest.network.scale))
    return next(named, Workload(str(shape), shape))


def serves(contract: Contract, workload: Workload) -> bool:
    """Whether a network upscales the input of a workload to its result."""
    return workload.scale in (None, contract.scale) and contract.fixed in (None, workload.shape)


def default_workloads(artifacts: Iterable[Artifact]) -> list[Workload]:
    """The workloads that artifacts were exported for, or their fixed size, or the 4K workload of their scale, or
    1280x720 where there is none."""
    return [parse_workload(name) for name in dict.fromkeys(_usual(artifact.manifest) for artifact in artifacts)]


def _usual(manifest: Manifest) -> str:
    """The workload, by name, at which a network is measured unless another is asked for."""
    if manifest.workload is not None:
        return manifest.workload
    if manifest.shape is not None:
        return str(Shape(*manifest.shape))
    workload = workload_for_scale(manifest.network.scale)
    return _ANY_SIZE if workload is None else workload.name
