"""The common parts of generated scripts: facts, noise frame, timing, command line, and summary of the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template
from textwrap import TextWrapper

from toolkit.artifact import Artifact
from toolkit.port import Port
from toolkit.quoting import python_docstring, python_literal, visible
from toolkit.runtimes.engine import build_command
from toolkit.runtimes.options import BuildOptions
from toolkit.workloads import Shape

FRAME = Shape(720, 1280)
"""Size of the noise frame for dynamic artifacts without a workload."""

_WIDTH = 100
_STANDARD = ("argparse", "hashlib", "sys")

_SCRIPT = Template('''\
"""$title

$facts
"""

from __future__ import annotations

$imports

$constants


$body


def noise() -> np.ndarray:
    """A frame of seeded noise in $range."""
$noise


def main() -> None:
    onnx = Path(globals().get("__file__", "")).parent / ONNX
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", nargs="?", type=Path, default=onnx, help="default: %(default)s")
    parser.add_argument("--engine", type=Path, metavar="PATH", help=$engine)
    parser.add_argument("--save", type=Path, metavar="FILE.npy", help="write the output frame here")
    given = parser.parse_args()
    if not given.onnx.is_file():
        parser.error(f"there is no file {given.onnx}")
    if hashlib.sha256(given.onnx.read_bytes()).hexdigest() != SHA256:
        print(f"note: {given.onnx} is not the file this script was written for", file=sys.stderr)
    output = run(given.onnx, given.engine)
    if output is None:
        return
    print(f"output: {output.dtype} {output.shape}")
    print(f"  min {output.min():.6g}, max {output.max():.6g}, mean {output.mean():.6g}, std {output.std():.6g}")
    if given.save is not None:
        np.save(given.save, output)


if __name__ == "__main__":
    main()
''')

HAS_GPU = '''\
def has_gpu() -> bool:
    """Whether the NVIDIA driver is installed and sees a device. Libraries may crash where it does not."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
'''

THREADS = '''\
def threads() -> int:
    """THREADS, or one for each CPU that this process may run on."""
    if THREADS:
        return THREADS
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
'''


MEASURE = '''\
def measure(step: Callable[[], object]) -> None:
    """Time frames one by one: warm up until two windows take equally long, then measure for DURATION seconds."""
    frames = [timed(step), timed(step)]
    window = max(2, math.ceil(0.1 / frames[-1]))
    while sum(frames) < 20:
        frames += [timed(step) for _ in range(window)]
        before, now = (float(np.median(part)) for part in (frames[-2 * window : -window], frames[-window:]))
        if len(frames) >= 2 * window and abs(now - before) <= 0.02 * before:
            break
    warm_up = len(frames)
    frames = []
    while len(frames) < 5 or sum(frames) < DURATION:
        frames.append(timed(step))
    low, median, high = (1000 * float(np.percentile(frames, percent)) for percent in (25, 50, 95))
    print(f"{len(frames)} frames after {warm_up}: median {median:.3f} ms, p25 {low:.3f} ms, p95 {high:.3f} ms")


def timed(step: Callable[[], object]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin
'''


@dataclass(frozen=True)
class Timing:
    """How a script times frames.

    Attributes:
        duration: of the measurement in seconds.
        cpus: numbers of the CPUs that it runs on; none: all.
        copies: whether each frame is copied from and back to host memory.
        command: of the toolkit that measures the same.
    """

    duration: float
    cpus: tuple[int, ...]
    copies: bool
    command: str


@dataclass(frozen=True)
class ScriptJob:
    """What a script builds.

    Attributes:
        runtime: name in the toolkit.
        artifact: that it builds from.
        shape: input size that it builds for; None: any.
        options: as given.
        onnx: path of the artifact from the script's directory.
        timing: how it times frames; None: it runs one frame.
    """

    runtime: str
    artifact: Artifact
    shape: Shape | None
    options: BuildOptions
    onnx: Path
    timing: Timing | None = None


@dataclass(frozen=True)
class Family:
    """The parts of a script that differ between families of runtimes.

    Attributes:
        needs: names of packages for `pip`.
        standard: modules of the standard library, besides those that all scripts import.
        imports: lines after the standard library that import all other modules.
        constants: names, and values as Python literals.
        functions: definitions, one of them `run(onnx: Path, engine: Path | None) -> np.ndarray | None`.
        engine: description of the engine file, for the help of `--engine`.
    """

    needs: Sequence[str]
    standard: Sequence[str]
    imports: Sequence[str]
    constants: dict[str, str]
    functions: Sequence[str]
    engine: str


def source(subject: ScriptJob, family: Family) -> str:
    """The script's text."""
    manifest = subject.artifact.manifest
    return _SCRIPT.substitute(
        title=in_docstring(
            f"{visible(manifest.name)} with {subject.runtime}: build, {_doing(subject)} of noise, print a summary."
        ),
        facts=_facts(subject, family),
        imports=_imports(subject, family),
        constants="\n".join(f"{name} = {value}" for name, value in (_constants(subject) | family.constants).items()),
        body="\n\n".join((*((MEASURE,) if subject.timing else ()), *family.functions)).rstrip(),
        engine=python_literal(f"write {family.engine} here"),
        range="{:g}..{:g}".format(*manifest.input.value_range),
        noise=noise_source(manifest.input),
    )


def noise_source(port: Port) -> str:
    """Statements that return the frame of `port.noise(shape, np.random.default_rng(0))`, the shape in FRAME_SHAPE."""
    low, high = port.value_range
    noise = "np.random.default_rng(0).integers(0, 256, FRAME_SHAPE, np.uint8)"
    if port.dtype == "uint8" and (low, high) == (0, 255):
        return f"    return {noise}"
    if port.span < 255:
        values = f"levels.astype(np.float32) / np.float32({255 / port.span!r})"
    else:
        values = f"levels.astype(np.float32) * np.float32({port.span / 255!r})"
    values = f"{values} + np.float32({low!r})" if low else values
    if port.dtype == "uint8":
        values = f"np.rint({values}).astype(np.uint8)"
    elif port.dtype != "float32":
        values = f"({values}).astype(np.{port.dtype})"
    return f"    levels = {noise}\n    return {values}"


def result_shape(subject: ScriptJob) -> dict[str, str]:
    """The constant with the output's shape, where frames are timed."""
    if subject.timing is None:
        return {}
    manifest = subject.artifact.manifest
    result = (subject.shape or FRAME).upscaled(manifest.network.scale)
    return {"RESULT_SHAPE": python_literal(manifest.output.frame_shape(result))}


def _constants(subject: ScriptJob) -> dict[str, str]:
    manifest, timing = subject.artifact.manifest, subject.timing
    timed = {} if timing is None else {"DURATION": python_literal(timing.duration)}
    return timed | {
        "ONNX": f"{python_literal(subject.onnx.as_posix())}  # relative to this script",
        "SHA256": python_literal(manifest.onnx_sha256),
        "INPUT, OUTPUT": f"{python_literal(manifest.input.name)}, {python_literal(manifest.output.name)}",
        "FRAME_SHAPE": python_literal(manifest.input.frame_shape(subject.shape or FRAME)),
        "FRAME_TYPE": python_literal(manifest.input.dtype),
    }


def _facts(subject: ScriptJob, family: Family) -> str:
    manifest = subject.artifact.manifest
    facts = {
        "artifact": f"{manifest.name}.onnx: {manifest.precision}, {manifest.input.dtype} {manifest.input.layout}",
        "sha256": manifest.onnx_sha256,
        "same as": subject.timing.command
        if subject.timing
        else build_command(f"{manifest.name}.onnx", subject.runtime, subject.options.described()),
        "written by": f"rt4ksr-toolkit {version('rt4ksr-toolkit')}, which it does not need",
        "needs": ", ".join(_with_version(package) for package in ("numpy", *family.needs)),
    }
    wrapped = TextWrapper(subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False, width=_WIDTH)
    return in_docstring("\n".join(wrapped.fill(f"{name:<11} {visible(value)}") for name, value in facts.items()))


def _doing(subject: ScriptJob) -> str:
    return "run one frame" if subject.timing is None else "time frames"


def _imports(subject: ScriptJob, family: Family) -> str:
    timing = ("math", "os", "time") if subject.timing else ()
    standard = [f"import {module}" for module in sorted({*_STANDARD, *family.standard, *timing})]
    callables = ("from collections.abc import Callable",) if subject.timing else ()
    return "\n".join((*standard, *callables, "from pathlib import Path", "", *_pinned(subject), *family.imports))


def _pinned(subject: ScriptJob) -> tuple[str, ...]:
    """Lines that set the CPU affinity, before any library starts its threads."""
    if subject.timing is None or not subject.timing.cpus:
        return ()
    return (
        'if hasattr(os, "sched_setaffinity"):',
        f"    os.sched_setaffinity(0, {python_literal(set(subject.timing.cpus))})",
        "",
    )


def _with_version(package: str) -> str:
    """A package with the version that is installed here, if any."""
    try:
        return f"{package} (here {version(package)})"
    except PackageNotFoundError:
        return package


def in_docstring(text: str) -> str:
    """Text for a docstring that argparse shows as its description, where it would replace `%(prog)`."""
    return python_docstring(text.replace("%(prog)", "% (prog)"))
