"""Verdicts on quality: written by one part of the toolkit, obeyed and shown by others."""

from __future__ import annotations

from pathlib import Path

import pytest
from profile_reports import quick_profile

from toolkit.artifact import Artifact
from toolkit.checks import Limits, Spent, Verdict
from toolkit.graph.precision.convert import convert
from toolkit.quality.verdict import record_verdict
from toolkit.runtimes.registry import default_runtime

pytestmark = pytest.mark.usefixtures("forked_workers")


def test_a_recorded_verdict_is_obeyed_and_shown(small_artifact: Artifact, tmp_path: Path) -> None:
    """What `record_verdict` writes decides the default runtime, and is in the report of `profile`."""
    lowered = convert(small_artifact, "int8", directory=tmp_path)
    assert default_runtime(lowered) == "native"
    limits = Limits(0.01, 0.03, 0.6)
    for runtime, share in (("native", 0.4), ("simulated", 0.002)):
        record_verdict(Artifact.read(lowered.path), Verdict.of(runtime, "Set5", 5, Spent(share, 0.02, 0.5), limits))
    judged = Artifact.read(lowered.path)
    assert default_runtime(judged) == "ort-cpu"
    report = quick_profile([small_artifact, judged], ["native", "ort-cpu"], ["16x16"], ["int8"], duration=0.01)
    spent = {cell.runtime: cell.spent for cell in report.cells if cell.precision == "int8"}
    assert spent["native"] == 0.4
    assert spent["ort-cpu"] == 0.002  # not measured there: what the precision costs by itself
