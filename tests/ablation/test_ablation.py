"""`ablate`: every step trained, measured, resumed, and reported."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from toolkit.ablation import ablation
from toolkit.ablation.ablation import AblateOptions, ablate
from toolkit.ablation.report import AblationReport, write_report
from toolkit.errors import InputError
from toolkit.network.architectures.rt4ksr.presets import PRESETS
from toolkit.network.complexity import complexity
from toolkit.training.config import TrainingConfig
from toolkit.workloads import Shape, Workload

pytestmark = pytest.mark.slow  # three trainings, six exports

PRESETS_SHOWN = ("baseline", "naf-eca", "rt4ksr")
SMALL = {
    "a": Workload("a", Shape(16, 24), 3),
    "b": Workload("b", Shape(24, 32), 2),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for index in range(2):
        smooth = Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).resize((64, 64))
        smooth.save(directory / f"{index}.png")
    return directory


def run(photos: Path, directory: Path) -> AblationReport:
    config = TrainingConfig(data=str(photos), patches=(8,), batch=2, iterations=2, threads=1)
    options = AblateOptions(PRESETS_SHOWN, (photos,), ("ort-cpu", "tensorrt"), 0.01, 1, directory / "cache")
    return ablate(config, directory / "runs", options)


@pytest.fixture(scope="module")
def ablated(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[AblationReport, Path]:
    directory = tmp_path_factory.mktemp("ablation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "WORKLOADS", SMALL)
        return run(photos, directory), directory


def test_every_step_is_measured(ablated: tuple[AblationReport, Path]) -> None:
    report, _ = ablated
    assert [step.preset for step in report.steps] == list(PRESETS_SHOWN)
    for step in report.steps:
        cost = complexity(PRESETS[step.preset], SMALL["b"].shape)
        assert step.parameters == cost.parameters
        assert step.fused_parameters == cost.fused_parameters
        assert step.multiply_adds["b"] == cost.multiply_adds
        measured = {(time.runtime, time.workload): time.median for time in step.times}
        assert set(measured) == {(name, workload) for name in ("ort-cpu", "tensorrt") for workload in "ab"}
        assert all((median is not None) == (name == "ort-cpu") for (name, _), median in measured.items())
        assert 0 < step.psnr_y < report.bicubic  # two iterations teach nothing
    assert all("libcuda" in time.reason for step in report.steps for time in step.times if time.median is None)
    assert len({step.psnr_y for step in report.steps}) == 3


def test_a_second_run_has_nothing_left_to_do(
    ablated: tuple[AblationReport, Path], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, directory = ablated
    monkeypatch.setattr(ablation, "WORKLOADS", SMALL)
    for name in ("measure", "evaluate"):
        monkeypatch.setattr(ablation, name, lambda *_, **__: pytest.fail("measured again"))
    again = run(photos, directory)
    assert again.steps == report.steps


def test_a_lost_result_is_measured_again(
    ablated: tuple[AblationReport, Path], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, directory = ablated
    monkeypatch.setattr(ablation, "WORKLOADS", SMALL)
    kept = directory / "runs" / "rt4ksr" / "quality.json"
    kept.write_text(json.dumps({"of": ["other"], "report": None}))
    assert [step.psnr_y for step in run(photos, directory).steps] == [step.psnr_y for step in report.steps]


def test_reports(ablated: tuple[AblationReport, Path], tmp_path: Path) -> None:
    report, _ = ablated
    write_report(report, tmp_path)
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=AblationReport) == report
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:5]] == list(PRESETS_SHOWN)
    assert f"{report.steps[0].psnr_y:.3f}" in lines[2]
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert "naf-eca" in (tmp_path / "report.svg").read_text()


@pytest.mark.parametrize(
    ("presets", "images", "message"),
    [
        (("nonsense",), True, "no preset 'nonsense'"),
        ((), True, "at least one preset"),
        (("rt4ksr",), False, "at least one preset"),
    ],
)
def test_bad_requests(presets: tuple[str, ...], images: bool, message: str, photos: Path, tmp_path: Path) -> None:
    options = AblateOptions(presets, (photos,) if images else ())
    with pytest.raises(InputError, match=message):
        ablate(TrainingConfig(data=str(photos)), tmp_path, options)
