"""Programs of others that run an artifact as it is, each with its defaults: `CLIENTS`, by name."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import toolkit
from toolkit.artifact import Artifact
from toolkit.deployment.clients.client import PROGRAMS
from toolkit.deployment.web.ort_web import PACKAGE
from toolkit.runtimes.registry import build
from toolkit.workloads import Shape

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))
from browser import browser, missing, served  # noqa: E402

OPENCV = "opencv-python-headless==5.0.0.93"


class Refused(Exception):
    """A client does not run an artifact; the message says why."""


class Missing(Exception):
    """A client is not available on this machine; the message says what is not installed."""


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
        raise (Missing if telling[-1].startswith("ModuleNotFoundError") else Refused)(telling[-1])
    return done.stdout


def install(what: str, command: list[str | Path], cwd: Path | None = None) -> None:
    """Run a command that installs a package; raise Missing if it fails."""
    try:
        run(command, cwd)
    except Refused as error:
        raise Missing(f"{what} cannot be installed: {error}") from error


def require(*programs: str) -> None:
    """Raise Missing unless these programs are installed."""
    if absent := [program for program in programs if shutil.which(program) is None]:
        raise Missing(f"{' and '.join(absent)} not installed")


def here(program: str, *properties: str) -> Callable[[Run], NDArray[np.generic]]:
    """A program of the toolkit, in this environment."""
    return lambda job: job.loaded(
        [sys.executable, PROGRAMS / program, job.model, job.saved(), job.home / "output.npy", *properties]
    )


@cache
def opencv_python(work: Path) -> Path:
    home = work / "opencv"
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True)
        install(OPENCV, [python, "-m", "pip", "install", "--quiet", OPENCV])
        (home / "ready").touch()
    return python


def opencv_dnn(job: Run) -> NDArray[np.generic]:
    python = opencv_python(job.work)
    return job.loaded([python, PROGRAMS / "opencv_dnn.py", job.model, job.saved(), job.home / "output.npy"])


@cache
def web_modules(work: Path) -> Path:
    require("npm", "node")
    home = work / "web"
    if not (home / "node_modules" / "onnxruntime-web").exists():
        home.mkdir(parents=True, exist_ok=True)
        install(PACKAGE, ["npm", "install", "--silent", PACKAGE], home)
    return home


def ort_web(job: Run) -> NDArray[np.generic]:
    program = Path(shutil.copy(HERE / "ort_web.mjs", web_modules(job.work)))
    job.frame.tofile(job.home / "input")
    shape = ",".join(map(str, job.frame.shape))
    said = run(["node", program, job.model, job.home / "input", job.home / "output", job.frame.dtype.name, shape])
    sides = tuple(map(int, said.splitlines()[-1].split(",")))
    return job.raw(job.case.artifact.manifest.output.dtype, sides)


def ort_webgpu(job: Run) -> NDArray[np.generic]:
    """In headless Chromium, where SwiftShader computes WebGPU; it has no `shader-f16`."""
    if reason := missing():
        raise Missing(reason)
    (job.home / "node_modules").symlink_to(web_modules(job.work) / "node_modules")
    shutil.copy(HERE / "ort_webgpu.html", job.home)
    shutil.copy(job.model, job.home / "model.onnx")
    job.frame.tofile(job.home / "input")
    with served(job.home) as address, browser(job.home) as window:
        window.open(f"{address}/ort_webgpu.html")
        window.wait("typeof upscale === 'function'")
        found = window.run("return upscale(arguments[0], arguments[1])", job.frame.dtype.name, list(job.frame.shape))
    if "error" in found:
        raise Refused(found["error"])
    values = np.frombuffer(base64.b64decode(found["values"]), job.case.artifact.manifest.output.dtype)
    return values.reshape(found["shape"])


def native(compiler: str) -> Callable[[Run], NDArray[np.generic]]:
    def client(job: Run) -> NDArray[np.generic]:
        require(compiler)
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
    "onnxruntime, CPU": here("onnxruntime_cpu.py"),
    "OpenVINO, defaults": here("openvino_cpu.py"),
    "OpenVINO, f32 hint": here("openvino_cpu.py", "INFERENCE_PRECISION_HINT=f32"),
    "OpenCV dnn": opencv_dnn,
    "ncnn through pnnx": here("ncnn_pnnx.py"),
    "ORT Web, wasm": ort_web,
    "ORT Web, WebGPU": ort_webgpu,
    "native, C": native("cc"),
    "native, C++": native("c++"),
    "native, ctypes": native_ctypes,
}
