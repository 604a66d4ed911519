"""The CUDA driver's calling convention, and what is built on it, against a stand-in for the driver.

fake_cuda.c has the prototypes of cuda.h and checks what it is given. This proves that arguments have the right width
and order, that work is waited for, that memory is given back, and that sessions bind what they should: not that a GPU
does the same. The tests themselves are in on_fake_cuda.py, run by a process that finds the stand-in as its driver.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMPILER = shutil.which("cc")


@pytest.mark.skipif(sys.platform != "linux", reason="the stand-in is for Linux")
@pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc) to compile the stand-in for the CUDA driver with")
def test_on_a_stand_in_for_the_driver(tmp_path: Path) -> None:
    source, library = HERE / "fake_cuda.c", tmp_path / "libcuda.so.1"
    subprocess.run(
        [str(COMPILER), "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True
    )
    shutil.copy(library, tmp_path / "libnvidia-ml.so.1")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", HERE / "on_fake_cuda.py"],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " skipped" not in done.stdout
