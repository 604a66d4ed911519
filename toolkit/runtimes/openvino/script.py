"""Generates scripts that run OpenVINO without the toolkit."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from toolkit.quoting import python_literal
from toolkit.runtimes.script import THREADS, Family, ScriptJob, result_shape, source

_RUN = Template("""\
def run(onnx: Path, engine: Path | None) -> np.ndarray:
    core = openvino.Core()
    model = core.read_model(onnx)
    model.reshape(list(FRAME_SHAPE))
    # A hint that the CPU cannot follow would mean bfloat16.
    hint = PRECISION if CAPABILITY in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads(), **SCHEDULING}
    compiled = core.compile_model(model, "CPU", config)
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
        request.infer(share_outputs=True)  # or Python would copy them once more

    measure(step)
    return returned"""


def generate_script(subject: ScriptJob, scheduling: Mapping[str, str | int], precision: str, capability: str) -> str:
    """A script for the CPU device.

    Args:
        subject: what the script builds.
        scheduling: properties of `compile_model`, besides precision and threads.
        precision: the inference precision hint.
        capability: of the device; where it is missing, the hint is float32.
    """
    return source(
        subject,
        Family(
            needs=("openvino",),
            standard=("os",),
            imports=("import numpy as np", "import openvino"),
            constants={
                "PRECISION, CAPABILITY": f"{python_literal(precision)}, {python_literal(capability)}",
                "SCHEDULING": python_literal(scheduling),
                "THREADS": f"{subject.options.threads}  # 0: all that this process may use",
                **result_shape(subject),
            },
            functions=(THREADS, _RUN.substitute(frame=_TIMED if subject.timing else _FRAME)),
            engine="the compiled model",
        ),
    )
