"""Quality verdicts in manifests: what an artifact spends of its budget, and on which runtime that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from toolkit.artifact import BUDGET_PREFIX, Artifact, Check, encode
from toolkit.atomic import write_bytes
from toolkit.quality.data import described
from toolkit.quality.evaluation import EvaluateOptions, evaluate
from toolkit.quality.report import QualityReport
from toolkit.quality.subjects import SIMULATED, Subject


def record_verdicts(report: QualityReport, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Write what `report` found about artifacts into their manifests, in the place of older verdicts on that runtime.

    Raises:
        InputError: a manifest cannot be written.
    """
    subjects = [subject for network in report.networks for subject in network.subjects if subject.verdict]
    recorded = []
    for artifact in artifacts:
        for subject in subjects:
            if subject.name == artifact.manifest.name:
                artifact = record_verdict(artifact, subject.runtime, described(subject.images), subject.verdict)
        recorded.append(artifact)
    return recorded


def record_verdict(artifact: Artifact, runtime: str, images: str, verdict: Sequence[Check]) -> Artifact:
    """Write into a manifest what was found on a runtime and on which images, in the place of what was there.

    Raises:
        InputError: it cannot be written.
    """
    prefix = f"{BUDGET_PREFIX}{runtime}, "
    kept = [check for check in artifact.manifest.checks if not check.name.startswith(prefix)]
    new = [msgspec.structs.replace(check, name=f"{prefix}{images}: {check.name}") for check in verdict]
    manifest = msgspec.structs.replace(artifact.manifest, checks=(*kept, *new))
    if manifest != artifact.manifest:
        write_bytes(artifact.path.with_suffix(".json"), encode(manifest))
    return Artifact(artifact.path, manifest)


def demand_budget(
    artifacts: Sequence[Artifact], directories: Sequence[Path], options: EvaluateOptions, threads: int = 0
) -> tuple[QualityReport, list[Artifact]]:
    """Measure lowered artifacts of one network, simulated as hardware with float32 accumulators computes them, and
    record the verdicts.

    Args:
        artifacts: the fp32 artifact first.
        directories: image sets.
        options: with budgets.
        threads: processor threads; 0: all usable.
    """
    report = evaluate([Subject(artifact, SIMULATED, threads) for artifact in artifacts], directories, options)
    return report, record_verdicts(report, artifacts)
