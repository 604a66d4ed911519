"""The wheel on every Python that is installed here: what needs no PyTorch, which has no CPU wheel for all of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from toolkit.artifact import Artifact

ROOT = Path(__file__).parents[2]
NEEDED = ("numpy", "onnx", "onnx-ir", "onnxruntime", "msgspec", "cyclopts", "rich", "pillow", "psutil", "safetensors")


def interpreter(version: str) -> str | None:
    """A Python of this version on the path, or among those of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places = [str(path / "bin") for path in sorted(pyenv.glob(f"{version}.*"))]
    return shutil.which(f"python{version}", path=os.pathsep.join([*places, os.environ["PATH"]]))


def run(*command: object, cwd: Path, code: int = 0) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, ROOT, cwd=directory)
    (made,) = directory.glob("*.whl")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_without_pytorch(version: str, wheel: Path, small_artifact: Artifact, tmp_path: Path) -> None:
    """Looks at an artifact, and upscales a picture with it on ONNX Runtime; what needs PyTorch says so."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version}")
    run(python, "-m", "venv", tmp_path / "environment", cwd=tmp_path)
    binaries = tmp_path / "environment" / "bin"
    install = binaries / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"
    run(*install, "--no-deps", wheel, cwd=tmp_path)
    got = subprocess.run([*install, *NEEDED], capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"pip cannot install packages for Python {version}: {got.stderr.strip().splitlines()[-1]}")
    for path in small_artifact.path.parent.glob("rt4ksr*"):
        shutil.copy(path, tmp_path)
    name = small_artifact.path.name
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    toolkit = binaries / "toolkit"
    assert f"Python {version}" in run(toolkit, "doctor", cwd=tmp_path)
    assert "float32 NCHW" in run(toolkit, "inspect", name, cwd=tmp_path)
    run(toolkit, "upscale", "a.png", "--model", name, "--runtime", "ort-cpu", cwd=tmp_path)
    assert Image.open(tmp_path / "a_x2.png").size == (24, 16)
    assert "needs the Python package torch" in run(toolkit, "verify-fusion", name, cwd=tmp_path, code=3)


def test_a_missing_package_is_named(small_artifact: Artifact, tmp_path: Path) -> None:
    program = "import sys; sys.modules['torch'] = None; from toolkit.cli import main; main()"
    said = run(sys.executable, "-c", program, "verify-fusion", small_artifact.path, cwd=tmp_path, code=3)
    assert said.splitlines()[:2] == [
        "error: this needs the Python package torch, which is not installed",
        "  Install it: pip install torch.",
    ]
