import csv
import io
import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from profile_reports import quick_profile
from samples import checkpoint, rewrite_engine

import toolkit
from toolkit import read_report
from toolkit.artifact import Artifact
from toolkit.checks import Limits, Spent, Verdict
from toolkit.errors import ArtifactError, CheckFailed, InputError
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.convert import convert
from toolkit.profiling.measuring import schedule
from toolkit.profiling.measuring.client import CellFailed, Worker
from toolkit.profiling.measuring.messages import Open
from toolkit.profiling.measuring.schedule import MINIMUM_ROUNDS, Pace, measure
from toolkit.profiling.plan import default_workloads, plan
from toolkit.profiling.reporting.reading import report_schema
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.onnxruntime.plugin_provider import PLUGIN_PROVIDERS
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import RUNTIMES, build
from toolkit.runtimes.subject import Subject
from toolkit.system.probe import Availability
from toolkit.workloads import Shape, parse_workload

pytestmark = pytest.mark.usefixtures("forked_workers")

GPU_RUNTIMES = {"torch-cuda", "torch-compile-cuda", "ort-cuda", "ort-tensorrt", "tensorrt", "tensorrt-rtx"}
PLUGIN_REMEDIES = {plugin.runtime: plugin.remedy for plugin in PLUGIN_PROVIDERS}


quick = quick_profile


def write(path: Path, report: toolkit.ProfileReport) -> Path:
    path.write_text(report.to_json())
    return path


def request(artifact: Artifact, runtime: str, side: int = 16) -> Open:
    return Open(runtime, str(artifact.path), "fp32", side, side, 1)


@pytest.fixture(scope="module")
def report(small_artifact: Artifact) -> toolkit.ProfileReport:
    return quick([small_artifact], workloads=["32x24"], duration=0.05)


def test_every_runtime_is_measured(report: toolkit.ProfileReport) -> None:
    assert [cell.runtime for cell in report.cells] == list(RUNTIMES)
    for cell in report.cells:
        if cell.runtime in GPU_RUNTIMES and cell.reason:
            assert "NVIDIA" in cell.reason
            continue
        if cell.runtime == "ncnn-vulkan" and cell.reason:
            assert "Vulkan" in cell.reason
            continue
        if cell.runtime in PLUGIN_REMEDIES and cell.reason:
            assert PLUGIN_REMEDIES[cell.runtime] in cell.reason
            continue
        assert not cell.reason
        assert cell.statistics is not None
        assert cell.statistics.trials == len(cell.seconds) >= MINIMUM_ROUNDS
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
        common = {block.round for block in baseline.blocks} & {block.round for block in cell.blocks}
        assert len(common) >= MINIMUM_ROUNDS
        theirs, ours = (
            [second for block in report.blocks if block.round in common for second in block.seconds]
            for report in (baseline, cell)
        )
        assert cell.speed_up == pytest.approx(np.median(theirs) / np.median(ours))
        assert cell.speed_up_interval is not None
        assert cell.speed_up_interval.low <= cell.speed_up <= cell.speed_up_interval.high


def test_json_and_csv_hold_the_same_numbers(report: toolkit.ProfileReport, tmp_path: Path) -> None:
    document = json.loads(report.to_json())
    assert document["schema"] == 4
    assert document["settings"]["boundary"] == "host"
    jsonschema.validate(document, report_schema())
    assert read_report(write(tmp_path / "report.json", report)) == report
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


def test_cells_take_turns_in_every_round(small_artifact: Artifact) -> None:
    requests = [request(small_artifact, name, side) for name, side in (("ort-cpu", 16), ("openvino", 128))]
    results = measure(requests, Pace(0.02))
    assert len(results[0].seconds) != len(results[1].seconds)
    # However different their numbers of frames, each measures one block a round, from the first round to its last.
    for result in results:
        assert [block.round for block in result.blocks] == list(range(1, len(result.blocks) + 1))
        assert len(result.blocks) >= MINIMUM_ROUNDS


def test_a_cell_that_cannot_run_says_why_and_the_others_go_on(
    small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        type(RUNTIMES["openvino"]), "probe", lambda self: Availability(False, "not installed", "pip install openvino")
    )
    found = quick([small_artifact], ["openvino", "ort-cpu"], ["16x16"], duration=0.02)
    by_runtime = {cell.runtime: cell for cell in found.cells}
    assert by_runtime["openvino"].reason == "not installed. pip install openvino"
    assert by_runtime["openvino"].statistics is None
    assert by_runtime["ort-cpu"].statistics is not None
    assert by_runtime["torch-unfused"].speed_up == 1


def test_precisions_without_an_artifact_say_so(small_artifact: Artifact) -> None:
    found = quick([small_artifact], ["ort-cpu"], ["16x16"], ["fp32", "fp16"], duration=0.02)
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
    assert [job.name for job in default_workloads([small_artifact, static])] == ["1080p-4k", "30x20"]
    scales = [_stating_no_workload(small_artifact, scale) for scale in (1, 2, 3, 4, 5)]
    usual = ["2160p-4k", "1080p-4k", "720p-4k", "540p-4k", "1280x720"]
    assert [job.name for job in default_workloads(scales)] == usual


def _stating_no_workload(artifact: Artifact, scale: int) -> Artifact:
    """As a graph of another exporter."""
    network = msgspec.structs.replace(artifact.manifest.network, scale=scale)
    return replace(artifact, manifest=msgspec.structs.replace(artifact.manifest, network=network, workload=None))


@pytest.mark.parametrize(
    ("fate", "target", "words"),
    [
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "_compile",
            f"signal {signal.SIGSEGV.value}, SIGSEGV): Fatal Python error",
        ),
        ("time.sleep(3600)", "_run", "no reply within 12 s, the worker process was ended"),
    ],
    ids=["crashes", "hangs"],
)
def test_a_cell_that_crashes_or_hangs_costs_only_itself(
    fate: str, target: str, words: str, small_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the runtime's own call, which the crash summary names."""
    # Imported by every Python process at its start; the worker of the other runtime never calls it.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys, time\n"
        "def fate(*_):\n"
        f"    {fate}\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'toolkit.runtimes.registry':\n"
        "            sys.meta_path.remove(self)\n"
        "            import toolkit.runtimes.openvino.runtime as module\n"
        f"            module.OpenVinoSession.{target} = fate\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(toolkit.__file__).parents[1]}")
    dead, alive = measure([request(small_artifact, name) for name in ("openvino", "ort-cpu")], Pace(0.02, timeout=12))
    assert words in dead.failure
    assert dead.failure.endswith("in fate")
    assert not alive.failure
    assert len(alive.blocks) >= MINIMUM_ROUNDS


def test_a_worker_reports_why_it_refuses(tmp_path: Path) -> None:
    with Worker() as worker, pytest.raises(CellFailed, match="no file"):
        worker.open(Open("ort-cpu", str(tmp_path / "gone.onnx"), "fp32", 8, 8, 1))
    with Worker() as worker, pytest.raises(CellFailed, match="arrived before Open"):
        worker.run(1)


def test_cells_that_memory_has_no_room_for_wait(small_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one at a time they are measured one after the other."""
    monkeypatch.setattr(schedule, "available_bytes", lambda: 1000)
    shares: list[float] = []
    requests = [request(small_artifact, "ort-cpu", side) for side in (16, 24)]
    first, second = measure(requests, Pace(0.02), lambda progress: shares.append(progress.fraction or 0))
    assert first.finished
    assert second.finished
    assert first.blocks[-1].round < second.blocks[0].round
    assert shares == sorted(shares)


def test_slow_cells_get_a_minimum_of_rounds(small_artifact: Artifact) -> None:
    (result,) = measure([request(small_artifact, "ort-cpu", 256)], Pace(1e-6))
    assert [len(block.seconds) for block in result.blocks] == [1] * MINIMUM_ROUNDS


def test_progress_rises_to_the_end(small_artifact: Artifact) -> None:
    shares: list[float] = []
    measure([request(small_artifact, "ort-cpu")], Pace(0.05), lambda progress: shares.append(progress.fraction or 0))
    assert shares[0] == 0
    assert all(0 <= share <= 1 for share in shares)
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duration": 0}, "must be a positive"),
        ({"duration": float("nan")}, "must be a positive"),
        ({"threads": -1}, "must be 0"),
        ({"timing_precision": 0}, "must be between"),
        ({"cell_timeout": 0}, "must be a positive"),
        ({"streams": 0}, "streams 0 must be"),
        ({"builds": 0}, "builds 0 must be"),
        ({"cpus": [100_000]}, "CPU 100000 is not available"),
        ({"resume": True}, "no report to resume"),
        ({"threads": 100_000}, "must be 0"),
        ({"runtimes": ["gpu"]}, "no runtime 'gpu'"),
        ({"runtimes": []}, "nothing to measure"),
        ({"workloads": ["8k-dream"]}, "no workload '8k-dream'"),
    ],
)
def test_bad_requests(options: dict[str, object], message: str, small_artifact: Artifact) -> None:
    with pytest.raises(InputError, match=message):
        quick([small_artifact], **({"workloads": ["16x16"]} | options))


# Engine bundles


@pytest.fixture(scope="module")
def beside(small_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an artifact and its engine."""
    directory = tmp_path_factory.mktemp("beside")
    for path in small_artifact.path.parent.glob(f"{small_artifact.path.stem[:12]}*"):
        shutil.copy(path, directory)
    build(directory / small_artifact.path.name, "ort-cpu", BuildOptions(shape=Shape(24, 32)))
    return directory


def engine_in(directory: Path) -> Path:
    (path,) = directory.glob("*.engine")
    return path


def moved(engine: Path, directory: Path) -> Path:
    return Path(shutil.copytree(engine, directory / engine.name))


def test_an_engine_is_a_cell_of_its_own(beside: Path) -> None:
    path = engine_in(beside)
    found = quick([path], duration=0.02)
    baseline, cell = found.cells
    assert (baseline.runtime, baseline.precision, baseline.speed_up) == ("torch-unfused", "fp32", 1)
    assert (cell.runtime, cell.workload, cell.precision) == ("ort-cpu", "32x24", "fp32")
    assert cell.artifact == path.name
    assert cell.is_engine
    assert cell.io == "float32 NCHW"
    assert cell.executed is not None
    assert set(cell.executed) == {"fp32"}
    assert baseline.statistics is not None
    assert cell.statistics is not None
    assert cell.speed_up is not None
    assert not cell.note


def test_an_engine_shares_the_baseline_of_its_artifact(beside: Path) -> None:
    artifact = next(beside.glob("*.onnx"))
    found = quick([artifact, engine_in(beside)], ["ort-cpu"], ["32x24"], duration=0.02)
    assert [(cell.runtime, cell.is_engine) for cell in found.cells] == [
        ("torch-unfused", False),
        ("ort-cpu", True),
        ("ort-cpu", False),
    ]
    assert all(cell.speed_up for cell in found.cells)


def test_an_engine_alone_has_no_speed_up_and_says_why(beside: Path, tmp_path: Path) -> None:
    alone = moved(engine_in(beside), tmp_path)
    (cell,) = quick([alone], duration=0.02).cells
    assert cell.statistics is not None
    assert cell.speed_up is None
    assert cell.note == ("no speed-up: rt4ksr_x2_c6b2_fp32.onnx, which the baseline needs, is not next to the engine")
    # Another artifact of the same name is not what it was built from.
    export(checkpoint(seed=1), directory=tmp_path)
    (plan_of,) = plan([], [], [], [], [Subject.of(Engine.read(alone))])
    assert plan_of.artifact is None


def test_an_engine_that_does_not_fit_is_a_cell_with_the_reason(beside: Path, tmp_path: Path) -> None:
    wrong = moved(engine_in(beside), tmp_path)
    rewrite_engine(wrong, lambda info: info["identity"].update(version="0.1"))
    (cell,) = quick([Engine.read(wrong)], duration=0.02).cells
    assert "it does not fit: version is" in cell.reason
    assert "Build it again: toolkit build rt4ksr_x2_c6b2_fp32.onnx --runtime ort-cpu --shape 32x24" in cell.reason
    assert cell.statistics is None


@pytest.mark.skipif(bool(cuda_devices()[0]), reason="there is a GPU: it would be used")
def test_an_engine_for_a_gpu_says_that_there_is_none(small_artifact: Artifact, tmp_path: Path) -> None:
    engine = build(small_artifact, "tensorrt-rtx", BuildOptions(shape=Shape(24, 32), target=("sm86",)), tmp_path).engine
    (cell,) = quick([engine], duration=0.02).cells
    assert (cell.runtime, cell.workload) == ("tensorrt-rtx", "32x24")
    assert "no NVIDIA driver" in cell.reason


@pytest.mark.parametrize(
    ("shape", "workload"),
    [((1080, 1920), "1080p-4k"), ((720, 1280), "1280x720"), ((24, 32), "32x24"), (None, "1080p-4k")],
)
def test_an_engines_workload_is_that_of_its_size(shape: tuple[int, int] | None, workload: str, beside: Path) -> None:
    """Of the 4K workloads only that of its scale: the network is a x2."""
    engine = Engine.read(engine_in(beside))
    sized = replace(engine, info=msgspec.structs.replace(engine.info, shape=shape))
    assert [cell.workload.name for cell in plan([], [], [], [], [Subject.of(sized)])] == [workload] * 2


def test_a_damaged_engine_is_bad_input(beside: Path, tmp_path: Path) -> None:
    damaged = moved(engine_in(beside), tmp_path)
    (damaged / "model.onnx").write_bytes(b"")
    with pytest.raises(ArtifactError, match="missing, or does not match"):
        quick([damaged])


def test_the_command_shows_engines(
    beside: Path, tmp_path: Path, toolkit_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = engine_in(beside)
    shown = toolkit_command("profile", path, "--duration", "0.02", "--json", "--no-roofline", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert [cell["artifact"] for cell in json.loads(shown.stdout)["cells"]] == ["rt4ksr_x2_c6b2_fp32", path.name]
    assert "32x24: engines, float32 NCHW" in shown.stderr
    assert any(line.startswith(path.name[:10]) for line in shown.stderr.splitlines())
    alone = moved(path, tmp_path)
    assert (
        "no speed-up: rt4ksr_x2_c6b2_fp32.onnx"
        in toolkit_command("profile", alone, "--duration", "0.02", "--no-roofline", cwd=tmp_path).stdout
    )
    rewrite_engine(alone, lambda info: info["identity"].update(version="0.1"))
    refused = toolkit_command("profile", alone, "--duration", "0.02", cwd=tmp_path)
    assert refused.returncode == 3
    assert "does not fit" in refused.stdout.replace("\n", " ")


def test_a_budget_can_be_demanded(small_artifact: Artifact, tmp_path: Path) -> None:
    """fp32 needs no verdict; another precision needs a good one."""
    fp16 = convert(small_artifact, "fp16", directory=tmp_path)

    def demanded(*verdicts: Verdict) -> None:
        manifest = msgspec.structs.replace(fp16.manifest, verdicts=verdicts)
        judged = Artifact(fp16.path, manifest)
        quick([small_artifact, judged], ["tensorrt"], ["16x16"], ["fp32", "fp16"], duration=0.01, within_budget=True)

    with pytest.raises(CheckFailed, match="has no quality verdict") as caught:
        demanded()
    assert "toolkit evaluate" in caught.value.remedy
    good, bad = (
        Verdict.of(runtime, "Set5", 5, Spent(spent, 0.01, 0.1), Limits(0.01, 0.03, 0.6))
        for runtime, spent in (("ort-cpu", 0.002), ("openvino", 0.2))
    )
    with pytest.raises(CheckFailed, match=r"openvino, 5 images of Set5: loses 20\.00% of .* \(allowed 1\.0%\)"):
        demanded(good, bad)
    demanded(good)
