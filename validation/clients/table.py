"""What programs compute from artifacts with their defaults: client by artifact, against ONNX Runtime in float32.

    python validation/clients/table.py WORK [--only ncnn] [--markdown docs/clients.md]

WORK holds artifacts, engines and environments, which are made once. OpenCV is installed there into an environment of
its own, and onnxruntime-web by npm. A client that is not available here is reported and left out.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

import toolkit
from toolkit.artifact import Artifact
from toolkit.deployment.web.ort_web import PACKAGE
from toolkit.graph.export import ExportOptions, export
from toolkit.graph.precision.calibration import calibration_images
from toolkit.graph.precision.convert import convert
from toolkit.network.bundled import bundled_checkpoint
from toolkit.precisions import Precision
from toolkit.runtimes.ncnn.conversion import find_pnnx
from toolkit.runtimes.registry import build
from toolkit.system.atomic import write_bytes
from toolkit.workloads import Shape

HERE = Path(__file__).parent
EVEN, ODD = Shape(96, 128), Shape(95, 127)
OPENCV = "opencv-python-headless==5.0.0.93"


class Refused(Exception):
    """A client does not run an artifact; the message says why."""


@dataclass(frozen=True)
class Case:
    """An artifact, and the size of the frame that it gets as it is: without the extension that sessions do."""

    title: str
    artifact: Artifact
    shape: Shape


@dataclass(frozen=True)
class Run:
    """A client's run of a case, in a directory of its own."""

    case: Case
    frame: NDArray[np.generic]
    home: Path
    work: Path

    @property
    def model(self) -> Path:
        return self.case.artifact.path

    @property
    def result_shape(self) -> tuple[int, ...]:
        artifact = self.case.artifact
        return artifact.manifest.output.frame_shape(self.case.shape.upscaled(artifact.manifest.network.scale))

    def saved(self) -> Path:
        np.save(self.home / "input.npy", self.frame)
        return self.home / "input.npy"

    def loaded(self, command: list[str | Path]) -> NDArray[np.generic]:
        """Run a command that ends with the name of its input, and returns an .npy file."""
        run(command)
        return np.load(self.home / "output.npy")

    def raw(self, dtype: str, shape: tuple[int, ...]) -> NDArray[np.generic]:
        return np.fromfile(self.home / "output", dtype).reshape(shape)


def run(command: list[str | Path], cwd: Path | None = None) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd, timeout=600, check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        telling = (
            [line for line in lines if "rror" in line or "fail" in line or "refuses" in line] or lines or ["killed"]
        )
        raise Refused(telling[-1])
    return done.stdout


# Clients


def onnxruntime_cpu(job: Run) -> NDArray[np.generic]:
    return job.loaded([sys.executable, HERE / "onnxruntime_cpu.py", job.model, job.saved(), job.home / "output.npy"])


def openvino_cpu(*properties: str) -> Callable[[Run], NDArray[np.generic]]:
    program = HERE / "openvino_cpu.py"
    return lambda job: job.loaded(
        [sys.executable, program, job.model, job.saved(), job.home / "output.npy", *properties]
    )


@cache
def opencv_python(work: Path) -> Path:
    home = work / "opencv"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True)
        run([python, "-m", "pip", "install", "--quiet", OPENCV])
        (home / "ready").touch()
    return python


def opencv_dnn(job: Run) -> NDArray[np.generic]:
    python = opencv_python(job.work)
    return job.loaded([python, HERE / "opencv_dnn.py", job.model, job.saved(), job.home / "output.npy"])


def ncnn_pnnx(job: Run) -> NDArray[np.generic]:
    program = find_pnnx()
    if program is None:
        raise Refused("pnnx is not installed")
    model = Path(shutil.copy(job.model, job.home / "model.onnx"))
    shape = ",".join(map(str, job.frame.shape))
    run([program, model, f"inputshape=[{shape}]{'u8' if job.frame.dtype == np.uint8 else 'f32'}", "fp16=0"])
    files = job.home / "model.ncnn.param", job.home / "model.ncnn.bin"
    return job.loaded([sys.executable, HERE / "ncnn_pnnx.py", *files, job.saved(), job.home / "output.npy"])


@cache
def web_modules(work: Path) -> Path:
    home = work / "web"
    if not (home / "node_modules" / "onnxruntime-web").exists():
        home.mkdir(parents=True, exist_ok=True)
        run(["npm", "install", "--silent", PACKAGE], cwd=home)
    return home


def ort_web(job: Run) -> NDArray[np.generic]:
    if shutil.which("npm") is None:
        raise Refused("npm is not installed")
    program = Path(shutil.copy(HERE / "ort_web.mjs", web_modules(job.work)))
    job.frame.tofile(job.home / "input")
    shape = ",".join(map(str, job.frame.shape))
    said = run(["node", program, job.model, job.home / "input", job.home / "output", job.frame.dtype.name, shape])
    sides = tuple(map(int, said.splitlines()[-1].split(",")))
    return job.raw(job.case.artifact.manifest.output.dtype, sides)


def native(compiler: str) -> Callable[[Run], NDArray[np.generic]]:
    def client(job: Run) -> NDArray[np.generic]:
        bundle, name = native_engine(job)
        program, source = (
            job.home / "client",
            [HERE / "native.c"] if compiler == "cc" else ["-x", "c++", HERE / "native.c"],
        )
        flags = [f"-DNAME={name}", f"-I{bundle}", "-O2", *source, "-x", "none", bundle / "engine.so"]
        run([compiler, *flags, "-o", program, f"-Wl,-rpath,{bundle.resolve()}"])
        job.frame.tofile(job.home / "input")
        dtype = np.dtype(job.case.artifact.manifest.output.dtype)
        sizes = job.frame.nbytes, int(np.prod(job.result_shape)) * dtype.itemsize
        run([program, job.home / "input", job.home / "output", *map(str, (*job.case.shape.sides, *sizes))])
        return job.raw(dtype.name, job.result_shape)

    return client


def native_ctypes(job: Run) -> NDArray[np.generic]:
    if job.frame.dtype != np.float32:
        raise Refused("this program passes float32 planes")
    bundle, name = native_engine(job)
    program = HERE / "native_ctypes.py"
    return job.loaded([sys.executable, program, bundle / "engine.so", name, job.saved(), job.home / "output.npy"])


def native_engine(job: Run) -> tuple[Path, str]:
    """The bundle, and the prefix of its functions."""
    try:
        engine = build(job.case.artifact, "native", directory=job.work / "engines").engine
    except toolkit.ToolkitError as error:
        raise Refused(str(error.args[0])) from error
    found = re.search(r"^int (\w+)_create\(", (engine.path / "engine.h").read_text(), re.MULTILINE)
    if found is None:
        raise Refused("its header declares no function that creates an engine")
    return engine.path, found[1]


Client = Callable[[Run], NDArray[np.generic]]

CLIENTS: dict[str, Client] = {
    "onnxruntime, CPU": onnxruntime_cpu,
    "OpenVINO, defaults": openvino_cpu(),
    "OpenVINO, f32 hint": openvino_cpu("INFERENCE_PRECISION_HINT=f32"),
    "OpenCV dnn": opencv_dnn,
    "ncnn through pnnx": ncnn_pnnx,
    "ORT Web, wasm": ort_web,
    "native, C": native("cc"),
    "native, C++": native("c++"),
    "native, ctypes": native_ctypes,
}


# The table


def cases(work: Path) -> list[Case]:
    """Artifacts of the toolkit's own x2 weights, made once."""
    home, checkpoint = work / "artifacts", bundled_checkpoint(2)

    def made(name: str, make: Callable[[], Artifact]) -> Artifact:
        kept = home / name
        found = sorted(kept.glob("*.onnx"))
        return Artifact.read(found[0]) if found else copied(make(), kept)

    def exported(**options: object) -> Callable[[], Artifact]:
        return lambda: export(checkpoint, ExportOptions(**options), home / "made", overwrite=True)  # type: ignore[arg-type]

    plain = trained()
    lowered = {
        name: made(name, lambda name=name: convert(plain, name, directory=home / "made", overwrite=True))  # type: ignore[misc]
        for name in ("fp16", "bf16", "int8")
    }
    return [
        Case("fp32", plain, EVEN),
        Case("fp32, odd size", plain, ODD),
        Case("fp32, static", made("static", exported(shape=EVEN)), EVEN),
        Case("fp32, static, odd size", made("static-odd", exported(shape=ODD)), ODD),
        *(Case(name, artifact, EVEN) for name, artifact in lowered.items()),
        Case("uint8 NHWC", made("uint8", exported(uint8="NHWC")), EVEN),
    ]


def trained() -> Artifact:
    return Artifact.read(HERE.parents[1] / "exported" / "rt4ksr_x2_fp32.onnx")


def copied(artifact: Artifact, directory: Path) -> Artifact:
    directory.mkdir(parents=True, exist_ok=True)
    for path in (artifact.path, artifact.path.with_suffix(".json")):
        shutil.copy(path, directory)
    return Artifact.read(directory / artifact.path.name)


def reference(plain: Artifact, shape: Shape) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A photograph, and the grey levels of ONNX Runtime's result in float32."""
    image, manifest = calibration_images()[0][: shape.height, : shape.width], plain.manifest
    session = toolkit.load_session(plain, "ort-cpu")
    session.bind(shape)
    return image, manifest.output.to_image(session.run(manifest.input.from_image(image)))


@dataclass(frozen=True)
class Difference:
    """Largest distance in grey levels, and share of samples that differ."""

    levels: int
    share: float

    def __str__(self) -> str:
        return f"{self.levels}, {100 * self.share:.2g} %"


def difference(client: Client, case: Case, plain: Artifact, work: Path) -> Difference:
    """Of what a client makes of an artifact from the result of the plain artifact.

    Raises:
        Refused: the client does not run it, or its result has another size.
    """
    image, wanted = reference(plain, case.shape)
    home, port = work / "run", case.artifact.manifest.output
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    job = Run(case, case.artifact.manifest.input.from_image(image), home, work)
    frame = client(job)
    if frame.shape != job.result_shape:
        shapes = ("x".join(map(str, shape)) for shape in (frame.shape, job.result_shape))
        raise Refused("wrong size, {} instead of {}".format(*shapes))
    distance = np.abs(port.to_image(frame).astype(int) - wanted)
    return Difference(int(distance.max()), np.count_nonzero(distance) / distance.size)


class Notes:
    """Reasons of refusals, numbered in the order in which they are met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, reason: str) -> int:
        return self._numbers.setdefault(reason, len(self._numbers) + 1)

    def lines(self) -> list[str]:
        return [f"{number}. {reason}" for reason, number in self._numbers.items()]


def cell(client: Client, case: Case, plain: Artifact, work: Path, notes: Notes) -> str:
    try:
        return str(difference(client, case, plain, work))
    except Refused as error:
        reason = str(error).replace(str(work), "").replace("|", "/")[:160]
        what = "wrong size" if reason.startswith("wrong size") else "refused"
        return f"{what} ({notes.number(reason)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", help="clients whose names contain this")
    parser.add_argument("--markdown", type=Path, help="write the table into this file, between its markers")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    chosen = {name: client for name, client in CLIENTS.items() if (arguments.only or "") in name}
    found, notes = cases(work), Notes()
    lines = [f"| artifact | {' | '.join(chosen)} |", f"|---|{'---|' * len(chosen)}"]
    for case in found:
        row = [cell(client, case, trained(), work, notes) for client in chosen.values()]
        lines.append(f"| {case.title} | {' | '.join(row)} |")
        print(lines[-1], flush=True)
    table = "\n".join([*lines, "", *notes.lines()])
    print(f"\n{table}")
    if arguments.markdown:
        insert(arguments.markdown, table)
        write_bytes(SUPPORT, support(table))


SUPPORT = HERE.parents[1] / "toolkit" / "clients.json"
"""What `toolkit inspect` says of each precision."""


def support(table: str) -> bytes:
    """Whether each client takes each precision, as JSON, from the lines of the table."""
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if "|" in line)
    found = {title: dict(zip(head[1:], map(is_result, cells), strict=True)) for title, *cells in rows}
    chosen = {title: clients for title, clients in found.items() if title in get_args(Precision)}
    return msgspec.json.format(msgspec.json.encode(chosen), indent=2) + b"\n"


def is_result(cell: str) -> bool:
    """Whether a cell holds a difference, and not a refusal."""
    return cell.endswith("%")


BEGIN, END = "<!-- table: validation/clients/table.py -->", "<!-- end of table -->"


def insert(path: Path, table: str) -> None:
    before, _, rest = path.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main()
