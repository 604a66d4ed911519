"""Runtime by precision: available or not, what really ran, and the error against float64.

    python validation/bench/precisions.py

On a crop of noise and real images, for both scales. Runtimes that do not run here show whether they build.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from toolkit.artifact import Artifact
from toolkit.errors import ToolkitError
from toolkit.graph.export import export
from toolkit.graph.precision.convert import convert
from toolkit.graph.source import source_checkpoint
from toolkit.network.checkpoint import load_checkpoint, untrained_checkpoint
from toolkit.network.module import numpy_function
from toolkit.runtimes.building import BuildingRuntime
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.registry import RUNTIMES
from toolkit.verification.inputs import real_images, synthetic_inputs
from toolkit.workloads import Shape

DATA = Path(os.environ.get("RT4KSR_DATA", "../shared"))
TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120")
SHAPE = Shape(96, 128)


def main() -> None:
    console = Console(width=140)
    with tempfile.TemporaryDirectory() as directory:
        for scale in (2, 3):
            rows = Table("artifact", "runtime", "ran", "largest error", "mean error", "remark", box=None)
            path = DATA / "checkpoints" / f"rt4ksr_x{scale}.pth"
            checkpoint = load_checkpoint(path) if path.is_file() else untrained_checkpoint(scale)
            fp32 = export(checkpoint, directory=directory)
            for artifact in (fp32, convert(fp32, "fp16"), convert(fp32, "bf16"), convert(fp32, "int8")):
                for name in RUNTIMES:
                    rows.add_row(artifact.manifest.name, name, *cell(artifact, name))
            console.print(rows)


def cell(artifact: Artifact, name: str) -> tuple[str, str, str, str]:
    """What ran, largest and mean error, and a remark."""
    runtime = RUNTIMES[name]
    try:
        session = runtime.load(artifact)
        session.bind(SHAPE)
    except ToolkitError as error:
        return "–", "–", "–", error.args[0].splitlines()[0] + built(runtime, artifact)
    truth = numpy_function(source_checkpoint(artifact).network, "float64")
    inputs = [next(synthetic_inputs(SHAPE)), *real_images(shape=SHAPE)]
    errors = [np.abs(session.run(item.array) - truth(item.array)) for item in inputs]
    ran = sorted({node.precision for node in session.executed().values()} - {"uint8"})
    asked = artifact.manifest.precision
    remark = "" if asked in ran else f"stored {asked}, computed {'+'.join(ran)}"
    return "+".join(ran), f"{np.max(errors):.2g}", f"{np.mean(errors):.2g}", remark


def built(runtime: object, artifact: Artifact) -> str:
    """Whether an engine can be built here all the same."""
    if not isinstance(runtime, BuildingRuntime) or not runtime.probe_build().ok:
        return ""
    try:
        # Turing, sm75, has no bfloat16.
        targets = TARGETS[1:] if artifact.manifest.precision == "bf16" else TARGETS
        options = BuildOptions(target=targets if "target" in runtime.options else ())
        engine = runtime.build(artifact, options).engine
    except ToolkitError as error:
        return f"; building: {error.args[0].splitlines()[0]}"
    return f"; builds for {', '.join(targets)} ({engine.info.files['plan'].size // 1024} KiB)"


if __name__ == "__main__":
    main()
