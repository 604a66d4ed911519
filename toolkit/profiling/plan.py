"""Plan of a profile: the cells to measure, and why some cannot run.

A cell is one configuration: an artifact or engine on a runtime, at a workload and in a precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolkit.artifact import FULL_PRECISION, Artifact, Manifest, Precision
from toolkit.errors import ToolkitError
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.registry import BASELINE, engine_obstacle, find_runtime
from toolkit.workloads import WORKLOADS, Shape, Workload, parse_workload

_ANY_SIZE = "1280x720"
"""Input size (WIDTHxHEIGHT) if neither the user nor the artifact specifies one."""


@dataclass(frozen=True)
class CellPlan:
    """A runtime, a workload, and an artifact or an engine bundle.

    `obstacle` is the reason why the cell cannot run, or empty. `artifact` of an engine is the artifact it was built
    from, if that is still next to it.
    """

    runtime: str
    workload: Workload
    precision: Precision
    artifact: Artifact | None
    obstacle: str = ""
    engine: Engine | None = None

    @property
    def manifest(self) -> Manifest | None:
        """Manifest of the network that runs."""
        if self.engine is not None:
            return self.engine.manifest
        return None if self.artifact is None else self.artifact.manifest

    @property
    def name(self) -> str:
        """Name of the artifact or the engine bundle."""
        if self.engine is not None:
            return self.engine.path.name
        return "" if self.artifact is None else self.artifact.manifest.name

    @property
    def network(self) -> tuple[str, str]:
        """Workload and weights: a speed-up is only computed between cells with the same ones."""
        return self.workload.name, "" if self.manifest is None else self.manifest.source.network_sha256


def plan(
    artifacts: Sequence[Artifact],
    runtimes: Sequence[str],
    workloads: Sequence[Workload],
    precisions: Sequence[Precision],
    engines: Sequence[Engine] = (),
) -> list[CellPlan]:
    """All cells, with the baseline of each network and workload first.

    Each artifact is measured at each workload that it supports (the same scale, and the same size if its size is
    fixed). If no artifact has a requested precision, PyTorch converts the network itself, and the other runtimes report
    the missing artifact. An engine is one cell, at the size it was built for.

    Raises:
        InputError: a runtime is unknown.
    """
    cells = [_engine_cell(engine) for engine in engines]
    for workload in workloads:
        serving = [artifact for artifact in artifacts if _serves(artifact, workload)]
        if not serving:
            wanted = "dynamic" if workload.scale is None else f"x{workload.scale}"
            reason = f"no artifact for {workload.name}: export a checkpoint as a {wanted} artifact"
            cells += [CellPlan(runtime, workload, precisions[0], None, reason) for runtime in runtimes]
            continue
        for precision in precisions:
            typed = [artifact for artifact in serving if artifact.manifest.precision == precision]
            for artifact in typed or serving:
                cells += [_cell(runtime, workload, precision, artifact) for runtime in runtimes]
    return _with_baselines(cells)


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


def _cell(runtime_name: str, workload: Workload, precision: Precision, artifact: Artifact) -> CellPlan:
    runtime = find_runtime(runtime_name)
    available = runtime.probe()
    obstacle = f"{available.reason}. {available.remedy}" if not available.ok else runtime.refusal(artifact, precision)
    return CellPlan(runtime_name, workload, precision, artifact, obstacle)


def _engine_cell(engine: Engine) -> CellPlan:
    info = engine.info
    return CellPlan(
        info.runtime, _engine_workload(engine), info.precision, _origin(engine), engine_obstacle(engine), engine
    )


def _engine_workload(engine: Engine) -> Workload:
    manifest = engine.manifest
    if engine.info.shape is None:
        return parse_workload(manifest.workload or _ANY_SIZE)
    shape = Shape(*engine.info.shape)
    named = (job for job in WORKLOADS.values() if (job.shape, job.scale) == (shape, manifest.network.scale))
    return next(named, Workload(str(shape), shape))


def _origin(engine: Engine) -> Artifact | None:
    """The artifact an engine was built from, if it is still next to it: the baseline needs its source weights."""
    try:
        artifact = Artifact.read(engine.path.parent / f"{engine.info.artifact}.onnx")
    except ToolkitError:
        return None
    return artifact if artifact.manifest.onnx_sha256 == engine.info.artifact_sha256 else None


def _serves(artifact: Artifact, workload: Workload) -> bool:
    manifest = artifact.manifest
    fixed = None if manifest.shape is None else Shape(*manifest.shape)
    return workload.scale in (None, manifest.network.scale) and fixed in (None, workload.shape)


def default_workloads(artifacts: Iterable[Artifact]) -> list[Workload]:
    """The workloads that artifacts were exported for, or their fixed size, or 1280x720."""
    manifests = [artifact.manifest for artifact in artifacts]
    names = [
        manifest.workload or (_ANY_SIZE if manifest.shape is None else str(Shape(*manifest.shape)))
        for manifest in manifests
    ]
    return [parse_workload(name) for name in dict.fromkeys(names)]
