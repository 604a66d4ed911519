"""Checks an artifact with programs of others as they are installed here, each with its defaults.

artifact, photograph ──► program in a process of its own ──► frame ──► error against float64 ──► Check "client"
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from toolkit.artifact import Artifact, encode
from toolkit.checks import Check
from toolkit.errors import CheckFailed, InputError, Unavailable
from toolkit.graph.analysis.numerics import frame_errors
from toolkit.graph.precision.calibration import calibration_images
from toolkit.graph.source import exact_source
from toolkit.port import PLANAR, Frame
from toolkit.system.atomic import write_bytes
from toolkit.system.isolated import run_isolated
from toolkit.workloads import Shape

PROGRAMS = Path(__file__).parent / "programs"
LEVEL = 1 / 255
"""What a client may err beyond what the precision itself does: one grey level."""

_SIZE = Shape(96, 128)
_SECONDS, _MEMORY = 300.0, 8 << 30


@dataclass(frozen=True)
class Client:
    """A program of others that runs ONNX files.

    Attributes:
        program: in `PROGRAMS`; takes the names of the model, the input and the output.
        packages: what pip installs for it.
    """

    program: str
    packages: str


CLIENTS = {
    "onnxruntime": Client("onnxruntime_cpu.py", "onnxruntime"),
    "openvino": Client("openvino_cpu.py", "openvino"),
    "opencv": Client("opencv_dnn.py", "opencv-python-headless"),
    "ncnn": Client("ncnn_pnnx.py", "ncnn pnnx"),
}


def find_clients(names: str) -> list[str]:
    """The clients in a comma-separated list.

    Raises:
        InputError: one of them is not known.
    """
    found = list(dict.fromkeys(name.strip() for name in names.split(",")))
    if unknown := [name for name in found if name not in CLIENTS]:
        raise InputError(f"there is no client {unknown[0]!r}", f"Choose from {', '.join(CLIENTS)}.")
    return found


def check_with_client(artifact: Artifact, name: str, fp32: Artifact) -> Check:
    """Run an artifact in a client, with its defaults, and compare a photograph with the exact network.

    For fp32 the largest error is measured, and one grey level is allowed. For lower precisions it is the mean error,
    and one level more is allowed than the conversion itself erred on average, on images that are harder than these.

    Args:
        artifact: in any precision, of any size.
        name: of the client.
        fp32: the artifact that it was converted from, or itself.

    Returns:
        The check, passed or not; errors are shares of white.

    Raises:
        Unavailable: the client is not installed here.
        CheckFailed: the client does not run the artifact, or returns a frame of another size.
    """
    manifest = artifact.manifest
    given, returned = manifest.input, manifest.output
    shape = manifest.sizes.extended(_SIZE) if manifest.shape is None else Shape(*manifest.shape)
    picture = _photograph(shape)
    version, frame = _run(name, artifact, given.from_image(picture))
    expected = returned.frame_shape(shape.upscaled(manifest.network.scale))
    if frame.shape != expected:
        raise CheckFailed(f"{name} returns a frame {frame.shape} for {artifact.path}, instead of {expected}")
    answer = exact_source(fp32)(PLANAR.from_image(picture, floating=np.float64))
    errors = frame_errors(returned, frame, answer)
    own = [check.measured for check in manifest.checks if check.kind == "mean error"]
    lowered = manifest.lowered
    measured = float(errors.mean() if lowered else errors.max())
    detail = f"{'mean' if lowered else 'largest'} error on a photograph of {shape}, defaults of the client"
    return Check.of("client", f"{name} {version}", measured, LEVEL + (own[-1] if lowered else 0.0), detail)


def record_clients(artifact: Artifact, checks: Sequence[Check]) -> Artifact:
    """Write checks of clients into the manifest, in place of older ones of the same clients.

    Raises:
        InputError: it cannot be written.
    """
    new = {check.subject.split()[0] for check in checks}
    known = artifact.manifest.checks
    kept = [item for item in known if item.kind != "client" or item.subject.split()[0] not in new]
    manifest = msgspec.structs.replace(artifact.manifest, checks=(*kept, *checks))
    write_bytes(artifact.path.with_suffix(".json"), encode(manifest))
    return Artifact(artifact.path, manifest)


def _photograph(shape: Shape) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, repeated where the artifact's size is larger than it."""
    rows, columns = (np.arange(side) for side in shape.sides)
    image = calibration_images()[0]
    return np.ascontiguousarray(image[rows % image.shape[0]][:, columns % image.shape[1]])


def _run(name: str, artifact: Artifact, frame: Frame) -> tuple[str, Frame]:
    """The client's version, and what it returned."""
    client = CLIENTS[name]
    with tempfile.TemporaryDirectory(prefix="toolkit-client-") as directory:
        given, returned = (Path(directory) / f"{end}.npy" for end in ("input", "output"))
        np.save(given, frame)
        arguments = [PROGRAMS / client.program, artifact.path.absolute(), given, returned]
        ended = run_isolated([str(item) for item in arguments], seconds=_SECONDS, memory=_MEMORY)
        if ended.end == "failed" and "No module named" in ended.reason:
            raise Unavailable(f"{name} is not installed: {ended.reason}", f"pip install {client.packages}")
        if ended.end != "done" or not returned.is_file():
            raise CheckFailed(f"{name} does not run {artifact.path}: {ended.reason}")
        return ended.output.split()[-1].split("-")[0], np.load(returned)
