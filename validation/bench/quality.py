"""Peak memory of `toolkit evaluate` on 4K photographs, as a share of the 2 GB it may take.

    python validation/bench/quality.py

In a process of its own, on the photographs in $RT4KSR_DATA/photos/val (default ../shared), with the x2 checkpoint.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ALLOWED = 2e9
DATA = Path(os.environ.get("RT4KSR_DATA", "../shared"))


def main() -> None:
    toolkit = Path(sys.executable).with_name("toolkit")
    photos, checkpoint = DATA / "photos" / "val", DATA / "checkpoints" / "rt4ksr_x2.pth"
    if not photos.is_dir():
        sys.exit(f"there is no {photos}: set RT4KSR_DATA")
    with tempfile.TemporaryDirectory() as directory:
        made = [toolkit, "export", checkpoint, "--precision", "fp32,fp16", "-o", directory]
        subprocess.run(made, check=True, capture_output=True)
        evaluated = [toolkit, "evaluate", "--directory", directory, "--images", photos]
        subprocess.run(evaluated, check=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"peak memory of the largest child process: {peak / ALLOWED:.2f} of {ALLOWED / 1e9:g} GB")


if __name__ == "__main__":
    main()
