"""Records quality verdicts in manifests: what an artifact loses on a runtime, and whether that is within its budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact, encode
from toolkit.checks import SIMULATED, Verdict
from toolkit.errors import CheckFailed
from toolkit.quality.evaluation import EvaluateOptions, evaluate
from toolkit.quality.report import QualityReport
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import write_bytes


def record_verdicts(report: QualityReport, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Write the verdicts of a report into the manifests of artifacts, replacing older ones on the same runtime.

    Raises:
        InputError: a manifest cannot be written.
    """
    subjects = [subject for network in report.networks for subject in network.subjects]
    recorded = []
    for artifact in artifacts:
        for subject in subjects:
            # Compared by hash: two directories may contain different artifacts with the same name.
            if subject.verdict is not None and subject.sha256 == artifact.manifest.onnx_sha256:
                artifact = record_verdict(artifact, subject.verdict)
        recorded.append(artifact)
    return recorded


def record_verdict(artifact: Artifact, verdict: Verdict) -> Artifact:
    """Write a verdict into a manifest, replacing an older one on the same runtime.

    Raises:
        InputError: it cannot be written.
    """
    others = [known for known in artifact.manifest.verdicts if known.runtime != verdict.runtime]
    manifest = msgspec.structs.replace(artifact.manifest, verdicts=(*others, verdict))
    if manifest != artifact.manifest:
        write_bytes(artifact.path.with_suffix(".json"), encode(manifest))
    return Artifact(artifact.path, manifest)


def demand_budget(
    artifacts: Sequence[Artifact], directories: Sequence[Path], options: EvaluateOptions, threads: int = 0
) -> tuple[QualityReport, list[Artifact]]:
    """Measure lowered artifacts of one network, simulating hardware with float32 accumulators, and record the verdicts.

    Args:
        artifacts: the fp32 artifact first.
        directories: image sets.
        options: with budgets.
        threads: CPU threads; 0: all CPUs available to this process.

    Raises:
        CheckFailed: one of them could not be measured, so its verdict is unknown.
    """
    report = evaluate([Subject(artifact, SIMULATED, threads) for artifact in artifacts], directories, options)
    for left in report.left_out:
        raise CheckFailed(
            f"{left.name} on {left.runtime} could not be measured: {left.reason}",
            "Without a measurement there is no verdict. For details, evaluate it alone: `toolkit evaluate`.",
        )
    return report, record_verdicts(report, artifacts)
