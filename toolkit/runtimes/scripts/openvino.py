"""Scripts for OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping

from toolkit.runtimes.scripts.source import THREADS, Family, Subject, literal, source

_RUN = """\
def run(onnx: Path, engine: Path | None) -> np.ndarray:
    core = openvino.Core()
    model = core.read_model(onnx)
    model.reshape(list(FRAME_SHAPE))
    compiled = core.compile_model(model, "CPU", HINTS | {"INFERENCE_NUM_THREADS": threads()})
    if engine is not None:
        engine.write_bytes(compiled.export_model().getvalue())
    return compiled({INPUT: noise()})[OUTPUT]
"""


def openvino_script(subject: Subject, hints: Mapping[str, str | int]) -> str:
    """A script for the CPU device. `hints` are those of `compile_model`, without the threads."""
    return source(
        subject,
        Family(
            needs=("openvino",),
            standard=("os",),
            imports=("import numpy as np", "import openvino"),
            constants={
                "HINTS": literal(hints),
                "THREADS": f"{subject.options.threads}  # 0: all that this process may use",
            },
            functions=(THREADS, _RUN),
            engine="the compiled model",
        ),
    )
