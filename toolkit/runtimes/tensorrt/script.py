"""Generates scripts that run TensorRT and TensorRT for RTX through Polygraphy, without the toolkit."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from toolkit.errors import InputError
from toolkit.runtimes.options import BuildOptions
from toolkit.runtimes.script import HAS_GPU, Family, ScriptJob, source
from toolkit.runtimes.tensorrt.shapes import OptimizationProfile

_BUILD = Template('''\
def build(onnx: Path) -> bytes:
    """The plan. Strongly typed: the graph's own types run."""
$gpu_only    typed = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")  # always so in TensorRT 11
    network = NetworkFromOnnxPath(str(onnx), strongly_typed=typed)
    config = $config(
$arguments
    )
    return bytes(EngineBytesFromNetwork(network, $finished)())
''')

_GPU_ONLY = """\
    if not has_gpu():
        sys.exit("error: TensorRT builds for the GPU of this machine, and there is none")
"""

_WITHOUT_TF32 = '''\
def without_tf32(_builder: trt.Builder, _network: trt.INetworkDefinition, config: trt.IBuilderConfig) -> None:
    """On by default, TF32 keeps 10 of 23 mantissa bits. CreateConfigRTX has no argument for it."""
    config.clear_flag(trt.BuilderFlag.TF32)
'''

_RUN = Template("""\
def run(onnx: Path, engine: Path | None) -> np.ndarray | None:
    plan = build(onnx)
    print(f"plan: {len(plan):,} bytes, sha256 {hashlib.sha256(plan).hexdigest()}")
    if engine is not None:
        engine.write_bytes(plan)
    if not has_gpu():
        print("not run: there is no NVIDIA GPU here")
        return None
    with TrtRunner(EngineFromBytes(plan)) as runner:
$timed        return runner.infer({INPUT: noise()})[OUTPUT].copy()
""")

_TIMED = """\
        frame = noise()
        measure(lambda: runner.infer({INPUT: frame}, check_inputs=False))
"""


def generate_script(subject: ScriptJob, profile: OptimizationProfile | None) -> str:
    """A script for TensorRT. `profile`: None for a static artifact."""
    build = _BUILD.substitute(
        gpu_only=_GPU_ONLY,
        config="CreateConfig",
        arguments=_arguments(_profiles(profile), f"tf32={subject.options.tf32}", *_tuning(subject.options)),
        finished="config",
    )
    family = Family(
        needs=("tensorrt", "polygraphy"),
        standard=("ctypes",),
        imports=("import numpy as np", "import tensorrt as trt", _loaders("CreateConfig")),
        constants={},
        functions=(HAS_GPU, build, _run(subject)),
        engine="the plan",
    )
    return source(subject, family)


def generate_rtx_script(
    subject: ScriptJob, profile: OptimizationProfile | None, targets: Sequence[tuple[int, int]]
) -> str:
    """A script for TensorRT for RTX. `targets`: compute capabilities; none: that of the GPU that runs the script."""
    tf32 = subject.options.tf32
    capabilities = f"compute_capabilities={list(targets)!r}" if targets else "use_gpu=True"
    build = _BUILD.substitute(
        gpu_only="",
        config="CreateConfigRTX",
        arguments=_arguments(_profiles(profile), capabilities, *_tuning(subject.options)),
        finished="config" if tf32 else "PostprocessConfig(config, without_tf32)",
    )
    family = Family(
        needs=("tensorrt-rtx", "polygraphy"),
        standard=("ctypes", "os"),
        imports=(
            'os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1"  # Polygraphy reads this when it is imported',
            "",
            "import numpy as np",
            "import tensorrt_rtx as trt",
            "from polygraphy.backend.tensorrt_rtx import CreateConfigRTX",
            _loaders(*(() if tf32 else ("PostprocessConfig",))),
        ),
        constants={},
        functions=(HAS_GPU, *(() if tf32 else (_WITHOUT_TF32,)), build, _run(subject)),
        engine="the plan",
    )
    return source(subject, family)


def _run(subject: ScriptJob) -> str:
    if subject.timing is None:
        return _RUN.substitute(timed="")
    if not subject.timing.copies:
        raise InputError("Polygraphy's runner copies every frame", "Write the script with --boundary host.")
    return _RUN.substitute(timed=_TIMED)


def _loaders(*more: str) -> str:
    names = ("EngineBytesFromNetwork", "EngineFromBytes", "NetworkFromOnnxPath", "Profile", "TrtRunner", *more)
    return "\n".join(("from polygraphy.backend.trt import (", *(f"    {name}," for name in sorted(names)), ")"))


def _profiles(profile: OptimizationProfile | None) -> str:
    if profile is None:
        return "profiles=[]"  # Polygraphy would add one of its own by default
    shapes = f"min={profile.smallest}, opt={profile.best}, max={profile.largest}"
    return f"profiles=[Profile().add(INPUT, {shapes})]"


def _tuning(options: BuildOptions) -> list[str]:
    arguments = []
    if options.optimization_level is not None:
        arguments.append(f"builder_optimization_level={options.optimization_level}")
    if options.version_compatible:
        arguments.append("version_compatible=True")
    if options.hardware_compatible:
        arguments.append("hardware_compatibility_level=trt.HardwareCompatibilityLevel.AMPERE_PLUS")
    return arguments


def _arguments(*arguments: str) -> str:
    return "\n".join(f"        {argument}," for argument in (*arguments, _VERBOSITY))


_VERBOSITY = "profiling_verbosity=trt.ProfilingVerbosity.DETAILED"
