"""`convert` says what a precision loses of the gain over bicubic, and refuses what is worse than bicubic."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import onnx
import pytest
from samples import checkpoint

import toolkit
from toolkit.artifact import Artifact
from toolkit.checks import SIMULATED
from toolkit.errors import CheckFailed
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.integer_fit import IntegerFit
from toolkit.port import Port
from toolkit.quality.budget import BUDGETS
from toolkit.quality.evaluation import evaluate
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape

REPOSITORY = Path(__file__).parents[2]
TRAINED = REPOSITORY / "exported" / "rt4ksr_x2_fp32.onnx"


@pytest.fixture(scope="module")
def trained() -> Artifact:
    return Artifact.read(TRAINED)


@pytest.fixture(scope="module")
def kept(trained: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """int8 by calibration alone."""
    return toolkit.convert(trained, "int8", directory=tmp_path_factory.mktemp("kept"))


def coarse(model: onnx.ModelProto, port: Port, *_: object) -> IntegerFit:
    """Ranges as calibration chooses them from activations alone, and no weights that make up for it."""
    magnitudes = {node.input[0]: 2.0 for node in model.graph.node if node.op_type == "Conv"}
    return IntegerFit(model, magnitudes)


def test_worse_than_bicubic_is_refused(trained: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.graph.precision.integers.fit_integers", coarse)
    with pytest.raises(CheckFailed, match=r"int8 loses \d{3,}% of the gain over bicubic on 5 images") as caught:
        toolkit.convert(trained, "int8", directory=tmp_path)
    assert "--allow-worse-than-bicubic" in caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_the_share_is_the_one_that_evaluate_finds(trained: Artifact, kept: Artifact) -> None:
    """On the same images, by other code: from images on disk to a report."""
    (verdict,) = Artifact.read(kept.path).manifest.verdicts
    assert (verdict.runtime, verdict.data, verdict.images) == (SIMULATED, "the toolkit", 5)
    assert verdict.allowed == BUDGETS["int8"]
    assert not verdict.passed
    assert verdict.spent is not None
    # Ranges that are chosen from activations alone lose twice the gain.
    assert verdict.spent.mean < 0.7
    images = Path(str(files("toolkit.graph.precision") / "images"))
    (network,) = evaluate([Subject(trained, "ort-cpu"), Subject(kept, SIMULATED)], [images]).networks
    assert verdict.spent.mean == pytest.approx(network.subjects[1].spent, abs=1e-3)
    assert verdict.spent.worst_image == pytest.approx(network.subjects[1].worst_image_spent, abs=1e-3)


def test_fp16_keeps_its_budget(trained: Artifact, tmp_path: Path) -> None:
    (verdict,) = toolkit.convert(trained, "fp16", directory=tmp_path).manifest.verdicts
    assert verdict.passed
    assert verdict.spent is not None
    assert 0 < verdict.spent.mean < 0.01


def test_a_network_without_gain_has_nothing_to_lose(tmp_path: Path) -> None:
    """Whatever size is built in: the images are smaller than most."""
    large = ExportOptions(shape=Shape(600, 800), uint8="NHWC")
    lowered = toolkit.convert(export(checkpoint(), large, tmp_path), "int8")
    (verdict,) = Artifact.read(lowered.path).manifest.verdicts
    assert verdict.spent is None
    assert not verdict.passed


def test_the_command(tmp_path: Path, toolkit_command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    written = toolkit_command("convert", TRAINED, "--precision", "fp16,int8", "-o", tmp_path)
    assert written.returncode == 0, written.stderr
    assert sorted(path.stem for path in tmp_path.glob("*.onnx")) == ["rt4ksr_x2_fp16", "rt4ksr_x2_int8"]
    assert "loses 0.03% of the gain over bicubic (allowed 1.0%)" in written.stdout
    assert "of the gain over bicubic (allowed 10.0%)" in written.stdout
    assert "over budget" in written.stdout
