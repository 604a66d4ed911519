"""`gate` and `report` on made-up reports: what passes, what fails, what is refused."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from profile_reports import HERE, SETTINGS, cell, report

import toolkit
from toolkit.errors import InputError
from toolkit.profiling.gate import GateReport, _outcome
from toolkit.profiling.reporting.report import CellReport, ProfileReport

Command = Callable[..., subprocess.CompletedProcess[str]]
CELLS = {"ort-cpu": 0.5, "openvino": 0.37, "torch": 1.4}


def run_of(seed: int, slower: float = 1.0, shake: float = 0.01) -> ProfileReport:
    """OpenVINO is slower than it was."""
    factors = {"openvino": slower}
    return report(
        *(cell(name, median * factors.get(name, 1), seed=seed, shake=shake) for name, median in CELLS.items())
    )


def verdicts(judged: GateReport) -> dict[str, str]:
    return {found.runtime: found.verdict for found in judged.cells}


def test_noise_does_not_fail() -> None:
    """Twenty pairs of runs that differ in nothing but noise, whose blocks are shaken by up to 6 %."""
    for seed in range(20):
        judged = toolkit.gate(run_of(2 * seed, shake=0.02), run_of(2 * seed + 1, shake=0.02))
        assert judged.outcome != "failed"
        assert judged.passed == ("cannot tell" not in verdicts(judged).values())


def test_a_planted_slowdown_of_10_percent_fails() -> None:
    judged = toolkit.gate(run_of(0, slower=1.1), run_of(1))
    assert not judged.passed
    assert verdicts(judged) == {"ort-cpu": "same", "openvino": "slower", "torch": "same"}
    found = next(found for found in judged.cells if found.runtime == "openvino")
    assert found.slowdown == pytest.approx(0.1, abs=0.02)
    assert found.interval is not None
    assert 0.05 < found.interval.low < found.slowdown < found.interval.high
    assert toolkit.gate(run_of(0, slower=1.1), run_of(1), 0.2).passed
    assert verdicts(toolkit.gate(run_of(0, slower=0.8), run_of(1)))["openvino"] == "faster"


def test_a_slowdown_within_the_noise_is_not_proved() -> None:
    judged = toolkit.gate(run_of(0, slower=1.1, shake=0.15), run_of(1, shake=0.15))
    assert verdicts(judged)["openvino"] == "cannot tell"
    assert judged.outcome == "inconclusive"
    assert not judged.passed
    # A configuration that fails decides, whatever cannot be told of others.
    broken = msgspec.structs.replace(judged.cells[0], verdict="broken")
    assert _outcome([broken, *judged.cells[1:]]) == "failed"


def failed(of: CellReport, reason: str) -> CellReport:
    return msgspec.structs.replace(of, statistics=None, blocks=(), reason=reason)


def test_a_cell_that_does_not_run_any_more_fails() -> None:
    old = run_of(0)
    new = msgspec.structs.replace(old, cells=(*old.cells[:2], failed(old.cells[2], "signal 11")))
    judged = toolkit.gate(new, old)
    assert not judged.passed
    assert verdicts(judged)["torch"] == "broken"
    assert judged.cells[2].note == "signal 11"
    # What is in one of them only is said, and no failure.
    assert verdicts(toolkit.gate(msgspec.structs.replace(old, cells=old.cells[:2]), old))["torch"] == "only in old"
    assert verdicts(toolkit.gate(old, new))["torch"] == "only in new"
    assert verdicts(toolkit.gate(new, new))["torch"] == "did not run"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": msgspec.structs.replace(SETTINGS, boundary="compute")}, "boundary was host and is compute"),
        ({"settings": msgspec.structs.replace(SETTINGS, threads=1)}, "number of threads was 2 and is 1"),
        ({"environment": msgspec.structs.replace(HERE, processor="Another")}, "CPU model was A processor and is Ano"),
        ({"environment": msgspec.structs.replace(HERE, gpu="H100")}, "GPU was none and is H100"),
        ({"cells": (cell("ort-cpu", 0.3, workload="720p-4k"),)}, "no measured configuration in common"),
    ],
)
def test_what_is_not_comparable_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        toolkit.gate(msgspec.structs.replace(run_of(0), **changes), run_of(1))


def test_what_changed_is_said() -> None:
    newer = msgspec.structs.replace(HERE, packages={"onnxruntime-gpu": "1.32"})
    new = msgspec.structs.replace(run_of(0), environment=newer, warnings=("steal",), complete=False)
    notes = toolkit.gate(new, run_of(1)).notes
    assert "onnxruntime-gpu: 1.31 before, 1.32 now" in notes
    assert "new: steal" in notes
    assert "the new report is of an interrupted run" in notes


def write(path: Path, made: ProfileReport) -> Path:
    path.write_text(made.to_json())
    return path


def test_the_commands(tmp_path: Path, toolkit_command: Command) -> None:
    old, new = write(tmp_path / "old.json", run_of(1)), write(tmp_path / "new.json", run_of(0, slower=1.1))
    passed = toolkit_command("gate", old, "--against", old)
    assert passed.returncode == 0, passed.stderr
    failed = toolkit_command("gate", new, "--against", old, "--max-slowdown", "5%")
    assert failed.returncode == 1
    assert max(map(len, failed.stdout.splitlines())) <= 100
    assert "slower" in failed.stdout
    assert toolkit_command("gate", new, "--against", old, "--max-slowdown", "0.2", "--json").returncode == 0
    noisy = write(tmp_path / "noisy.json", run_of(0, slower=1.1, shake=0.15))
    undecided = toolkit_command("gate", noisy, "--against", old)
    assert undecided.returncode == 4
    assert "configurations may or may not be 5.0% slower" in undecided.stderr
    assert "openvino fp32 at" in undecided.stderr
    assert toolkit_command("gate", noisy, "--against", old, "--allow-inconclusive").returncode == 0
    assert toolkit_command("gate", new, "--against", old, "--allow-inconclusive").returncode == 1
    for arguments, words in (
        (("gate", tmp_path / "none.json", "--against", old), "there is no file"),
        (("gate", new, "--against", old, "--max-slowdown", "much"), "is not a percentage"),
        (("report", Path(__file__)), "is not a profile report"),
    ):
        refused = toolkit_command(*arguments)
        assert refused.returncode == 2
        assert words in refused.stderr
    shown = toolkit_command("report", old, new, "--markdown", tmp_path / "both.md")
    assert shown.returncode == 0, shown.stderr
    assert "1.10x" in shown.stdout
    assert "| old | new |" in (tmp_path / "both.md").read_text().replace("---", "")
    (tmp_path / "older.json").write_text(json.dumps(json.loads(old.read_text()) | {"schema": 1}))
    assert "has schema 1" in toolkit_command("report", tmp_path / "older.json").stderr
