"""The CUDA driver's calling convention, and what is built on it, against a stand-in for the driver.

fake_cuda/driver.c has the prototypes of cuda.h and checks what it is given. This proves that arguments have the right
width and order, that work is waited for, that memory is given back, and that sessions bind what they should: not that a
GPU does the same. The tests themselves are in fake_cuda/, run by a process that finds the stand-in as its driver.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "fake_cuda"
COMPILER = shutil.which("cc")


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A directory with the driver's libraries."""
    if sys.platform != "linux":
        pytest.skip("the stand-in is for Linux")
    if COMPILER is None:
        pytest.skip("no C compiler (cc) to compile the stand-in for the CUDA driver with")
    source, library = HERE / "driver.c", tmp_path / "libcuda.so.1"
    subprocess.run(
        [str(COMPILER), "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True
    )
    shutil.copy(library, tmp_path / "libnvidia-ml.so.1")
    return tmp_path


def test_on_a_stand_in_for_the_driver(stand_in: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *sorted(HERE.glob("on_*.py"))],
        env=os.environ | {"LD_LIBRARY_PATH": str(stand_in)},
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout


@pytest.mark.slow
def test_the_gpu_script_says_what_does_not_work(stand_in: Path) -> None:
    """A driver that is there and of no use: libraries that ask more of it do not start, and say so."""
    (stand_in / "nvidia-smi").write_text("#!/bin/sh\necho name, driver_version\n")
    (stand_in / "nvidia-smi").chmod(0o755)
    path = os.pathsep.join((str(stand_in), str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", HERE.parents[2] / "validation" / "gpu.sh", stand_in / "out"],
        env=os.environ | {"LD_LIBRARY_PATH": str(stand_in), "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stderr.endswith("error: none of the GPU runtimes works here\n")
    assert "Traceback" not in done.stderr
    missing = (stand_in / "out" / "missing.txt").read_text().splitlines()
    runtimes = {line.partition(": ")[0]: line.partition(": ")[2] for line in missing}
    gpu = {"torch-cuda", "torch-compile-cuda", "ort-cuda", "ort-tensorrt", "tensorrt", "tensorrt-rtx"}
    assert runtimes.keys() >= gpu
    assert all(runtimes.values())
    assert "Fake GPU" in (stand_in / "out" / "machine.txt").read_text()
