"""Scripts for OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from toolkit.runtimes.scripts.source import THREADS, Family, Subject, literal, result_shape, source

_RUN = Template("""\
def run(onnx: Path, engine: Path | None) -> np.ndarray:
    core = openvino.Core()
    model = core.read_model(onnx)
    model.reshape(list(FRAME_SHAPE))
    compiled = core.compile_model(model, "CPU", HINTS | {"INFERENCE_NUM_THREADS": threads()})
    if engine is not None:
        engine.write_bytes(compiled.export_model().getvalue())
$frame
""")

_FRAME = "    return compiled({INPUT: noise()})[OUTPUT]"

_TIMED = """\
    request = compiled.create_infer_request()
    given, returned = noise(), np.empty(RESULT_SHAPE, FRAME_TYPE)
    request.set_output_tensor(openvino.Tensor(returned, shared_memory=True))

    def step() -> None:
        request.set_input_tensor(openvino.Tensor(given, shared_memory=True))
        request.infer()

    measure(step)
    return returned"""


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
                **result_shape(subject),
            },
            functions=(THREADS, _RUN.substitute(frame=_TIMED if subject.timing else _FRAME)),
            engine="the compiled model",
        ),
    )
