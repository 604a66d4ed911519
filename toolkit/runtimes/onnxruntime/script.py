"""Generates scripts that run ONNX Runtime without the toolkit."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template

from toolkit.port import Port
from toolkit.quoting import python_literal
from toolkit.runtimes.script import FRAME, HAS_GPU, THREADS, Family, ScriptJob, source
from toolkit.workloads import Shape

_CPU, _TENSORRT = "CPUExecutionProvider", "TensorrtExecutionProvider"

_RUN = Template("""\
def run(onnx: Path, engine: Path | None) -> np.ndarray:
$before    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
$settings    providers = [(PROVIDER, $provider_options)]
    # enable_fallback=0: no other provider in place of this one.
    session = onnxruntime.InferenceSession(onnx, options, providers=providers, enable_fallback=0)
    if session.get_providers()[0] != PROVIDER:
        sys.exit(f"error: ONNX Runtime chose {session.get_providers()[0]} instead of {PROVIDER}")
$frame
""")

_GPU_ONLY = """\
    if not has_gpu():
        sys.exit("error: there is no NVIDIA GPU here")
"""

_NO_TF32 = """\
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # the provider has no option for TF32, which is on by default
"""

_OPTIMISED = """\
    if engine is not None:
        options.optimized_model_filepath = str(engine)
"""

_NO_CPU = """\
    # Otherwise nodes that the provider cannot take would run on the CPU with only a line in the log.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
"""

_FIXED_SIZE = """\
    # Constants instead of arithmetic on sizes, which ONNX Runtime computes on the CPU.
    for name, side in SIDES.items():
        options.add_free_dimension_override_by_name(name, side)
"""

_CACHES = """\
    if engine is None:
        caches = {"trt_engine_cache_enable": "False", "trt_timing_cache_enable": "False"}
    else:
        caches = {"trt_engine_cache_path": str(engine), "trt_timing_cache_path": str(engine)}
"""

_HOST_FRAME = "    return session.run([OUTPUT], {INPUT: noise()})[0]"

_DEVICE_FRAME = Template("""\
    # A CUDA graph needs its frames at fixed addresses on the device.
    given = onnxruntime.OrtValue.ortvalue_from_numpy(noise(), "cuda", 0)
    returned = onnxruntime.OrtValue.ortvalue_from_shape_and_type(RESULT_SHAPE, np.dtype(FRAME_TYPE).type, "cuda", 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input(INPUT, given)
    binding.bind_ortvalue_output(OUTPUT, returned)
$run
    return returned.numpy()""")

_TIMED_HOST = """\
    given, returned = noise(), np.empty(RESULT_SHAPE, FRAME_TYPE)
    binding = session.io_binding()
    binding.bind_output(OUTPUT, "cpu", 0, FRAME_TYPE, returned.shape, returned.ctypes.data)

    def step() -> None:
        binding.bind_input(INPUT, "cpu", 0, FRAME_TYPE, given.shape, given.ctypes.data)
        session.run_with_iobinding(binding)

    measure(step)
    return returned"""

_TIMED_COPIES = """\
    frame = noise()

    def step() -> None:
        given.update_inplace(frame)
        session.run_with_iobinding(binding)
        returned.numpy()

    measure(step)"""


def generate_script(subject: ScriptJob, provider: str, provider_options: Mapping[str, str]) -> str:
    """A script for one execution provider, without a fallback to another."""
    on_gpu, caching = provider != _CPU, provider == _TENSORRT
    run = _RUN.substitute(
        before=(_GPU_ONLY if on_gpu else "") + (_NO_TF32 if caching else ""),
        settings=(_NO_CPU + _FIXED_SIZE if on_gpu else "") + (_CACHES if caching else _OPTIMISED),
        provider_options="PROVIDER_OPTIONS | caches" if caching else "PROVIDER_OPTIONS",
        frame=_frame(subject, on_gpu),
    )
    constants = {
        "PROVIDER": python_literal(provider),
        "PROVIDER_OPTIONS": _mapping(provider_options),
        "THREADS": f"{subject.options.threads}  # 0: all that this process may use",
    }
    manifest = subject.artifact.manifest
    given = subject.shape or FRAME
    result = given.upscaled(manifest.network.scale)
    if on_gpu:
        constants["SIDES"] = python_literal(_dynamic_sides(manifest.input, given))
    if on_gpu or subject.timing:
        constants["RESULT_SHAPE"] = python_literal(manifest.output.frame_shape(result))
    family = Family(
        needs=("onnxruntime-gpu" if on_gpu else "onnxruntime",),
        standard=("ctypes", "os") if on_gpu else ("os",),
        imports=("import numpy as np", "import onnxruntime"),
        constants=constants,
        functions=(HAS_GPU, THREADS, run) if on_gpu else (THREADS, run),
        engine="its engine and timings (a directory)" if caching else "the optimised graph",
    )
    return source(subject, family)


def _dynamic_sides(port: Port, shape: Shape) -> dict[str, int]:
    """The sizes that a graph leaves open, by their names in it."""
    return {name: side for name, side in zip(port.shape, port.frame_shape(shape), strict=True) if isinstance(name, str)}


def _frame(subject: ScriptJob, on_gpu: bool) -> str:
    timing, run = subject.timing, "    session.run_with_iobinding(binding)"
    if not on_gpu:
        return _HOST_FRAME if timing is None else _TIMED_HOST
    if timing is None:
        return _DEVICE_FRAME.substitute(run=run)
    timed = _TIMED_COPIES if timing.copies else "    measure(lambda: session.run_with_iobinding(binding))"
    return _DEVICE_FRAME.substitute(run=timed)


def _mapping(values: Mapping[str, str]) -> str:
    """A dict literal with one line per entry."""
    lines = (f"    {python_literal(name)}: {python_literal(value)},\n" for name, value in values.items())
    return f"{{\n{''.join(lines)}}}" if values else "{}"
