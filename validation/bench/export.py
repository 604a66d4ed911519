"""Our exported artifact against the plain path, and what an export costs.

The plain path is what one does without this toolkit: torch.onnx.export of the fused network, then onnxsim. Both graphs
are run by the same code in the same run, in turns; only ratios are printed. Also: seconds and peak memory of
`toolkit export` of a released checkpoint, checks included.

    python validation/bench/export.py [--seconds 20]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import onnxsim

from toolkit.artifact import Artifact
from toolkit.graph.export import export, trace
from toolkit.network.checkpoint import Checkpoint, load_checkpoint, untrained_checkpoint
from toolkit.network.fusion import fuse
from toolkit.profiling.measuring.messages import Open
from toolkit.profiling.measuring.schedule import Pace, measure
from toolkit.system.atomic import sha256_of
from toolkit.system.hardware import usable_cpus
from toolkit.workloads import WORKLOADS, workload_for_scale

DATA = Path(os.environ.get("RT4KSR_DATA", "../shared"))
RUNTIMES = ("ort-cpu", "openvino")
MEMORY = """
import sys
from pathlib import Path
from toolkit.cli import main
from toolkit.profiling.measuring.worker import peak_bytes
sys.argv = ["toolkit", "export", sys.argv[1], "-o", sys.argv[2]]
try:
    main()
finally:
    print(peak_bytes(), file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Exported artifact against the plain path, as ratios.")
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring per graph and runtime")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory:
        for workload in filter(None, map(workload_for_scale, (3, 2))):
            compare(load(workload.scale or 2), workload.name, Path(directory), seconds)
        cost(Path(directory))


def load(scale: int) -> Checkpoint:
    path = DATA / "checkpoints" / f"rt4ksr_x{scale}.pth"
    if path.is_file():
        return load_checkpoint(path)
    print(f"no {path}: measuring an untrained network")
    return untrained_checkpoint(scale)


def compare(checkpoint: Checkpoint, workload: str, directory: Path, seconds: float) -> None:
    ours = export(checkpoint, directory=directory / "ours")
    plain = plain_path(checkpoint, ours, directory / "plain")
    nodes = [step.nodes for step in ours.manifest.steps]
    print(f"\n{workload}: {nodes[0]} nodes as exported, {nodes[-1]} in ours")
    height, width = WORKLOADS[workload].shape.sides
    threads = usable_cpus()
    requests = [
        Open(runtime, str(artifact.path), "fp32", height, width, threads)
        for runtime in RUNTIMES
        for artifact in (ours, plain)
    ]
    measured = measure(requests, Pace(seconds))
    for runtime, pair in zip(RUNTIMES, zip(measured[::2], measured[1::2], strict=True), strict=True):
        if any(result.failure for result in pair):
            print(f"  {runtime}: {pair[0].failure or pair[1].failure}")
            continue
        ratio = np.median(pair[0].seconds) / np.median(pair[1].seconds)
        memory = pair[0].peak_bytes / pair[1].peak_bytes
        trials = len(pair[0].seconds), len(pair[1].seconds)
        print(f"  {runtime}: time {ratio:.3f}, peak memory {memory:.3f} of the plain path ({trials} frames)")


def plain_path(checkpoint: Checkpoint, ours: Artifact, directory: Path) -> Artifact:
    """The plain graph with the manifest of ours, so that the same sessions take it."""
    model, ok = onnxsim.simplify(trace(fuse(checkpoint.network)))
    if not ok:
        raise SystemExit("onnxsim failed on the plain graph")
    content = model.SerializeToString()
    manifest = msgspec.structs.replace(ours.manifest, onnx_sha256=sha256_of(content), onnx_bytes=len(content))
    return Artifact.write(directory, content, manifest, ours.weights_path.read_bytes())


def cost(directory: Path) -> None:
    path = DATA / "checkpoints" / "rt4ksr_x2.pth"
    if not path.is_file():
        return
    begin = time.perf_counter()
    command = [sys.executable, "-c", MEMORY, str(path), str(directory / "cost")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    peak = int(result.stderr.split()[-1])
    print(f"\nexport of a released checkpoint, checks included: {seconds / 20:.2f} of 20 s, {peak / 2e9:.2f} of 2 GB")


if __name__ == "__main__":
    main()
