import csv
import io
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.export import ExportOptions, export
from toolkit.profiling import schedule
from toolkit.profiling.client import CellFailed, Worker
from toolkit.profiling.matrix import default_workloads, plan
from toolkit.profiling.messages import Open
from toolkit.profiling.schedule import MINIMUM_TRIALS, measure
from toolkit.profiling.statistics import summarise
from toolkit.runtimes.protocol import Availability
from toolkit.runtimes.registry import RUNTIMES
from toolkit.workloads import Shape, parse_workload


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=300))
def test_statistics_are_the_textbooks(seconds: list[float]) -> None:
    found = summarise(seconds)
    ordered = sorted(seconds)
    assert found.minimum == ordered[0]
    assert found.trials == len(seconds)

    def percentile(share: float) -> float:
        position = share * (len(ordered) - 1)
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (position - low) * (ordered[high] - ordered[low])

    for value, share in ((found.median, 0.5), (found.p90, 0.9), (found.p95, 0.95), (found.p99, 0.99)):
        assert value == pytest.approx(percentile(share), rel=1e-9)


GPU_RUNTIMES = {"ort-cuda", "ort-tensorrt", "tensorrt", "tensorrt-rtx"}


def request(artifact: Artifact, runtime: str, side: int = 16) -> Open:
    return Open(runtime, str(artifact.path), "fp32", side, side, 1)


@pytest.fixture(scope="module")
def report(small_artifact: Artifact) -> toolkit.ProfileReport:
    return toolkit.profile([small_artifact], workloads=["24x32"], duration=0.05)


def test_every_runtime_is_measured(report: toolkit.ProfileReport) -> None:
    assert [cell.runtime for cell in report.cells] == list(RUNTIMES)
    for cell in report.cells:
        if cell.runtime in GPU_RUNTIMES and cell.reason:
            assert "NVIDIA" in cell.reason
            continue
        assert not cell.reason
        assert cell.statistics is not None
        assert cell.statistics.trials == len(cell.seconds) >= MINIMUM_TRIALS
        assert cell.statistics.median == pytest.approx(np.median(cell.seconds))
        assert cell.frames_per_second == pytest.approx(1 / cell.statistics.median)
        assert cell.executed is not None
        assert set(cell.executed) == {"fp32"}
        assert cell.peak_bytes is not None
        assert 20e6 < cell.peak_bytes < 5e9
        assert cell.load_seconds is not None


def test_speed_ups_are_over_the_baseline(report: toolkit.ProfileReport) -> None:
    baseline = next(cell for cell in report.cells if cell.runtime == "torch-unfused")
    assert baseline.speed_up == 1
    assert baseline.statistics is not None
    for cell in report.cells:
        if cell.statistics is None:
            continue
        assert cell.speed_up == pytest.approx(baseline.statistics.median / cell.statistics.median)


def test_json_and_csv_hold_the_same_numbers(report: toolkit.ProfileReport) -> None:
    document = json.loads(report.to_json())
    assert document["schema"] == 1
    assert document["boundary"] == "host"
    assert document["environment"]["packages"]["onnx"]
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(rows) == len(document["cells"]) == len(report.cells)
    for row, cell in zip(rows, document["cells"], strict=True):
        if cell["statistics"] is None:
            assert row["median_ms"] == ""
            assert row["reason"] == cell["reason"]
            continue
        assert float(row["median_ms"]) == pytest.approx(cell["statistics"]["median"] * 1000, abs=1e-3)
        assert row["executed"] == " ".join(f"{name}:{count}" for name, count in cell["executed"].items())


def test_turns_are_interleaved(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    original = schedule.Turns.turn

    def noted(cell: schedule.Turns, share: float) -> None:
        before = len(cell.result.seconds)
        original(cell, share)
        turns.extend([cell.request.runtime] * (len(cell.result.seconds) > before))

    monkeypatch.setattr(schedule.Turns, "turn", noted)
    requests = [request(small_artifact, name, side) for name, side in (("ort-cpu", 16), ("openvino", 128))]
    results = measure(requests, duration=0.02)
    assert len(results[0].seconds) != len(results[1].seconds)
    # However different their numbers of trials, every cell works in every round, from the first to the last.
    rounds = [set(turns[index : index + 2]) for index in range(0, len(turns), 2)]
    assert rounds == [{"ort-cpu", "openvino"}] * MINIMUM_TRIALS


def test_a_cell_that_cannot_run_says_why_and_the_others_go_on(
    small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(RUNTIMES["openvino"]), "probe", lambda self: Availability(False, "not installed", "pip install openvino")
    )
    found = toolkit.profile([small_artifact], ["openvino", "ort-cpu"], ["16x16"], duration=0.02)
    by_runtime = {cell.runtime: cell for cell in found.cells}
    assert by_runtime["openvino"].reason == "not installed. pip install openvino"
    assert by_runtime["openvino"].statistics is None
    assert by_runtime["ort-cpu"].statistics is not None
    assert by_runtime["torch-unfused"].speed_up == 1


def test_precisions_without_an_artifact_say_so(small_artifact: Artifact) -> None:
    found = toolkit.profile([small_artifact], ["ort-cpu"], ["16x16"], ["fp32", "fp16"], duration=0.02)
    reasons = {(cell.runtime, cell.precision): cell.reason for cell in found.cells}
    assert reasons["ort-cpu", "fp32"] == ""
    assert "the artifact is fp32" in reasons["ort-cpu", "fp16"]


def test_workloads_without_an_artifact_say_so(small_artifact: Artifact) -> None:
    cells = plan([small_artifact], ["ort-cpu"], [parse_workload("720p-4k")], ["fp32"])
    assert [cell.obstacle for cell in cells] == [
        "no artifact for 720p-4k: export a checkpoint as a x3 artifact",
    ]


def test_default_workloads_are_what_artifacts_are_for(small_artifact: Artifact, tmp_path: Path) -> None:
    static = export(checkpoint(), ExportOptions(shape=Shape(20, 30)), tmp_path)
    assert [job.name for job in default_workloads([small_artifact, static])] == ["1080p-4k", "20x30"]


def test_a_worker_that_dies_costs_only_its_cell(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    original = schedule.Turns.turn

    def fatal(cell: schedule.Turns, share: float) -> None:
        if cell.request.runtime == "openvino":
            os.kill(cell._worker._process.pid, signal.SIGSEGV)
        original(cell, share)

    monkeypatch.setattr(schedule.Turns, "turn", fatal)
    dead, alive = measure([request(small_artifact, name) for name in ("openvino", "ort-cpu")], duration=0.02)
    assert f"signal {signal.SIGSEGV.value}" in dead.failure
    assert not alive.failure
    assert alive.seconds


def test_last_words_of_a_worker(tmp_path: Path) -> None:
    with Worker() as worker, pytest.raises(CellFailed, match="no file"):
        worker.open(Open("ort-cpu", str(tmp_path / "gone.onnx"), "fp32", 8, 8, 1))
    with Worker() as worker, pytest.raises(CellFailed, match="before anything was opened"):
        worker.run(1)


def test_slow_cells_get_a_minimum_of_trials(small_artifact: Artifact) -> None:
    (result,) = measure([request(small_artifact, "ort-cpu", 256)], duration=1e-6)
    assert len(result.seconds) == MINIMUM_TRIALS


def test_progress_rises_to_the_end(small_artifact: Artifact) -> None:
    shares: list[float] = []
    measure([request(small_artifact, "ort-cpu")], 0.05, lambda _what, share, _left: shares.append(share))
    assert shares[0] == 0
    assert all(0 <= share <= 1 for share in shares)
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duration": 0}, "must be a positive"),
        ({"duration": float("nan")}, "must be a positive"),
        ({"threads": -1}, "must be 0"),
        ({"threads": 100_000}, "must be 0"),
        ({"runtimes": ["gpu"]}, "no runtime 'gpu'"),
        ({"runtimes": []}, "nothing to measure"),
        ({"workloads": ["8k-dream"]}, "no workload '8k-dream'"),
    ],
)
def test_bad_requests(options: dict[str, object], message: str, small_artifact: Artifact) -> None:
    with pytest.raises(InputError, match=message):
        toolkit.profile([small_artifact], **({"workloads": ["16x16"]} | options))
