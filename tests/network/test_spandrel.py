"""Checkpoints that spandrel recognises, in an environment with spandrel, torchvision and the torch that belongs to it.

The environment takes 5.5 GB and minutes to install, so it is only made where `RT4KSR_SPANDREL` says; without that the
tests skip. It takes everything but torch from the environment of the tests.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from samples import save

from toolkit.artifact import Artifact
from toolkit.runtimes.subject import load_session
from toolkit.system.atomic import sha256_of_file
from toolkit.verification.merges import MergeReport, verify_merges
from toolkit.workloads import Shape

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ("torch==2.14.1", "torchvision==0.29.1", "spandrel==0.4.2")
_SECONDS = 1500


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of the environment, which is made if it is not there."""
    if not (given := os.environ.get("RT4KSR_SPANDREL")):
        pytest.skip("set RT4KSR_SPANDREL to a directory for an environment with spandrel, 5.5 GB: it is made there")
    environment = Path(given)
    environment.parent.mkdir(parents=True, exist_ok=True)
    interpreter = environment / "bin" / "python"
    with environment.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if run(interpreter, "-c", "import spandrel").returncode:
            make(environment)
    found = run(interpreter, "-c", "import spandrel, onnx")
    if found.returncode:
        pytest.skip(f"spandrel cannot be imported in {environment}: {found.stderr.strip().splitlines()[-1]}")
    return interpreter


def make(environment: Path) -> None:
    venv.create(environment, with_pip=True, clear=True)
    install = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", *REQUIREMENTS]
    try:
        subprocess.run(install, check=True, capture_output=True, timeout=_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"cannot install {', '.join(REQUIREMENTS)}: {error}")
    (site,) = (environment / "lib").glob("python*/site-packages")
    dependencies = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(dependencies) + "\n")  # after its own packages


def run(interpreter: Path, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    if not interpreter.is_file():
        return subprocess.CompletedProcess([], 1, "", f"there is no {interpreter}")
    return subprocess.run(
        [interpreter, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def toolkit(python: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run(python, "-c", "from toolkit.cli import main; main()", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def networks(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small networks of five architectures: checkpoints, ONNX graphs, and results for an image."""
    directory = tmp_path_factory.mktemp("spandrel")
    script = Path(__file__).with_name("spandrel_networks.py")
    made = run(python, script, directory, "span", "compact", "esrgan", "dat", "safmn")
    assert made.returncode == 0, made.stderr
    return directory


@pytest.mark.parametrize(
    ("name", "family", "multiple"), [("esrgan", "ESRGAN", 1), ("dat", "DAT", 1), ("safmn", "SAFMN", 8)]
)
def test_a_checkpoint_becomes_an_artifact(
    name: str, family: str, multiple: int, python: Path, networks: Path, tmp_path: Path
) -> None:
    shown = toolkit(python, "export", networks / f"{name}.pth", "--licence", "MIT", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    artifact = Artifact.read(tmp_path / "exported" / f"{name}_fp32.onnx")
    manifest = artifact.manifest
    assert str(manifest.network) == f"{family} x2"
    assert (manifest.source.kind, manifest.source.file, manifest.source.licence) == ("spandrel", f"{name}.pth", "MIT")
    assert manifest.source.sha256 == sha256_of_file(networks / f"{name}.pth")
    assert manifest.source.weights is None
    assert (manifest.network.scale, manifest.sizes.multiple, manifest.shape) == (2, multiple, None)
    findings = {finding.fact: finding for finding in manifest.source.findings}
    assert findings["architecture"].value == family
    assert "as stated by spandrel 0.4.2" in findings["value range"].evidence
    assert next(check for check in manifest.checks if check.subject == "torch.onnx.export").measured < 1e-7
    # The module's own result in float64, from the environment with spandrel.
    known = np.load(networks / f"{name}.npz")
    session = load_session(artifact, "ort-cpu")
    session.bind(Shape(*known["image"].shape[2:]))
    result = session.run(known["image"].astype(np.float32))
    assert np.abs(result - known["result"]).max() <= 1e-4
    inspected = toolkit(python, "inspect", artifact.path, cwd=tmp_path)
    assert family in inspected.stdout


def merged(networks: Path, name: str) -> MergeReport:
    report = verify_merges(networks / f"{name}.onnx")
    assert report.passed
    assert all(proof.bound == 1e-12 for proof in report.proofs)
    return report


def test_every_block_of_span_in_training_form_is_merged(networks: Path) -> None:
    """conv_1, conv_2 and three in each of six blocks: 1x1, 3x3 and 1x1 beside a skip become one 3x3."""
    report = merged(networks, "span_unfused")
    spatial = [merge for merge in report.merges if merge.kernel == (3, 3)]
    assert len(spatial) == 20
    assert all(len(merge.nodes) >= 5 for merge in spatial)
    (normalisation,) = merged(networks, "span").merges  # spandrel merged the blocks; the range goes into the first
    assert len(normalisation.nodes) == 2


def test_spandrels_own_merge_is_the_same_function_in_float32(networks: Path) -> None:
    known = np.load(networks / "span.npz")
    results = []
    for name in ("span", "span_unfused"):
        session = onnxruntime.InferenceSession(networks / f"{name}.onnx", providers=["CPUExecutionProvider"])
        (result,) = session.run(None, {session.get_inputs()[0].name: known["image"].astype(np.float32)})
        results.append(result)
    assert np.abs(results[0] - results[1]).max() <= 1e-4


@pytest.mark.parametrize("name", ["compact", "esrgan", "dat", "safmn"])
def test_other_architectures_only_hold_factors_and_offsets_to_merge(name: str, networks: Path) -> None:
    """The factor of a residual into the convolution before it, the end of a LayerNorm into the one after it."""
    assert all(len(merge.nodes) <= 3 for merge in merged(networks, name).merges)


def test_what_spandrel_does_not_know_is_refused(python: Path, tmp_path: Path) -> None:
    save(tmp_path / "other.pth", {"head.weight": torch.zeros(4, 3, 3, 3), "tail.bias": torch.zeros(4)})
    shown = toolkit(python, "export", "other.pth", cwd=tmp_path)
    assert shown.returncode == 2
    assert "spandrel 0.4.2 does not recognise it either" in " ".join(shown.stderr.split())
    assert not (tmp_path / "exported").exists()


def test_one_of_several_sets_is_chosen(python: Path, networks: Path, tmp_path: Path) -> None:
    safmn = torch.load(networks / "safmn.pth")["params_ema"]
    save(tmp_path / "two.pth", {"params": dict(safmn), "params_ema": safmn})
    shown = toolkit(python, "export", "two.pth", cwd=tmp_path)
    assert shown.returncode == 2
    assert "Choose one with --entry" in shown.stderr
