"""Which cells there are to measure, and why some cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolkit.artifact import Artifact, Precision
from toolkit.runtimes.registry import BASELINE, find_runtime
from toolkit.workloads import Shape, Workload, parse_workload


@dataclass(frozen=True)
class CellPlan:
    """A runtime, an artifact and a workload; `obstacle` says why it cannot run, and is empty when it can."""

    runtime: str
    workload: Workload
    precision: Precision
    artifact: Artifact | None
    obstacle: str = ""

    @property
    def network(self) -> tuple[str, str]:
        """What cells must share for a speed-up between them to mean anything."""
        return self.workload.name, "" if self.artifact is None else self.artifact.manifest.source.weights_sha256


def plan(
    artifacts: Sequence[Artifact],
    runtimes: Sequence[str],
    workloads: Sequence[Workload],
    precisions: Sequence[Precision],
) -> list[CellPlan]:
    """All cells, the baseline of each network and workload first.

    Every artifact meets every workload of its scale that it can serve. A precision is that of an artifact; where there
    is no artifact of a precision, PyTorch can still lower the network itself, and the others say what is missing.

    Raises:
        InputError: there is no such runtime.
    """
    cells: list[CellPlan] = []
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
    """Each group of comparable cells, led by the unfused network in fp32."""
    groups: dict[tuple[str, str], list[CellPlan]] = {}
    for cell in cells:
        groups.setdefault(cell.network, []).append(cell)
    ordered: list[CellPlan] = []
    for group in groups.values():
        artifact = group[0].artifact
        others = [cell for cell in group if (cell.runtime, cell.precision) != (BASELINE, "fp32")]
        if artifact is not None:
            ordered.append(_cell(BASELINE, group[0].workload, "fp32", artifact))
        ordered += others if artifact is not None else group
    return ordered


def _cell(runtime_name: str, workload: Workload, precision: Precision, artifact: Artifact) -> CellPlan:
    runtime = find_runtime(runtime_name)
    available = runtime.probe()
    obstacle = f"{available.reason}. {available.remedy}" if not available.ok else runtime.refusal(artifact, precision)
    return CellPlan(runtime_name, workload, precision, artifact, obstacle)


def _serves(artifact: Artifact, workload: Workload) -> bool:
    manifest = artifact.manifest
    fixed = None if manifest.shape is None else Shape(*manifest.shape)
    return workload.scale in (None, manifest.network.scale) and fixed in (None, workload.shape)


def default_workloads(artifacts: Iterable[Artifact]) -> list[Workload]:
    """The workloads that artifacts were made for; a size of their own where they serve none of the 4K ones."""
    manifests = [artifact.manifest for artifact in artifacts]
    names = [
        manifest.workload or ("720p" if manifest.shape is None else str(Shape(*manifest.shape)))
        for manifest in manifests
    ]
    return [parse_workload(name) for name in dict.fromkeys(names)]
