"""From an artifact to an ncnn network: converted by pnnx, and compared with the artifact in float64."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from toolkit.artifact import Artifact, Manifest
from toolkit.errors import ArtifactError, Unavailable
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.analysis.numerics import exact_network, frame_error, probe_images, probe_sizes
from toolkit.graph.any_size import sizeless
from toolkit.graph.passes.widen_channel_mean import WidenChannelMean
from toolkit.graph.reading import read_model
from toolkit.port import PLANAR
from toolkit.runtimes.ncnn.network import NcnnNetwork
from toolkit.system.extras import how_to_install
from toolkit.system.isolated import run_isolated
from toolkit.workloads import Shape

PARAM, BIN = "network.param", "network.bin"
"""Files of a network: its layers as text, and its weights."""

_SECONDS, _MEMORY = 300.0, 8 << 30
"""Limits of pnnx, far beyond what it takes for networks of this kind."""

_RUN = """
import json, os, resource, sys
arguments = json.load(sys.stdin)
os.dup2(2, 1)  # its report is not needed, except where it fails
os.execv(arguments[0], arguments)
"""


@dataclass(frozen=True)
class Converted:
    """An ncnn network: its layers, as text, and its weights in float32."""

    param: bytes
    weights: bytes


_CONVERTED: dict[str, Converted] = {}
"""Networks that this process has converted, by the hash of the ONNX file: sessions of other sizes need them again."""
_ERRORS: dict[tuple[str, str], float] = {}
"""Errors that this process has measured, by the hash and the device."""


def find_pnnx() -> Path | None:
    """The program of the package pnnx, which itself is not imported: it would import torch."""
    spec = find_spec("pnnx")
    program = None if spec is None or spec.origin is None else Path(spec.origin).with_name("pnnx")
    return program if program is not None and program.is_file() else None


def obstacle(manifest: Manifest) -> str:
    """Why an artifact cannot be converted; empty if it can, as far as its manifest says."""
    for port in (manifest.input, manifest.output):
        if (port.dtype, port.layout) != ("float32", "NCHW"):
            return f"it takes float32 planes (NCHW), and the {port.name} is {port.dtype} {port.layout}"
    if manifest.shape is not None and manifest.sizes.extended(Shape(*manifest.shape)) != Shape(*manifest.shape):
        return f"the graph extends its size {Shape(*manifest.shape)} itself"
    return ""


def converted(artifact: Artifact) -> Converted:
    """The ncnn network of an artifact, for any size that the network takes; `proved_error` says whether it is right.

    Raises:
        Unavailable: pnnx is not installed, or cannot convert the graph.
    """
    sha256 = artifact.manifest.onnx_sha256
    if sha256 not in _CONVERTED:
        _CONVERTED[sha256] = _run_pnnx(artifact)
    return _CONVERTED[sha256]


def proved_error(artifact: Artifact, network: NcnnNetwork, bound: float) -> float:
    """The largest error of a converted network on three small images, against the artifact's graph in float64.

    Args:
        artifact: that was converted.
        network: loaded, on the device where it will run.
        bound: of the error, as a share of white; see `frame_error`.

    Raises:
        ArtifactError: the error is larger: pnnx or ncnn does not compute the artifact's function.
    """
    key = artifact.manifest.onnx_sha256, network.device
    if key not in _ERRORS:
        _ERRORS[key] = _largest_error(artifact, network)
    if not _ERRORS[key] <= bound:
        raise ArtifactError(
            f"{artifact.path}, converted by pnnx, computes another function in ncnn on {network.device}: "
            f"the error is {_ERRORS[key]:.2g} of white, allowed {bound:.2g}",
            "Use another runtime.",
        )
    return _ERRORS[key]


def _run_pnnx(artifact: Artifact) -> Converted:
    program = find_pnnx()
    if program is None:
        raise Unavailable("pnnx is not installed", how_to_install("ncnn"))
    manifest = artifact.manifest
    # Artifacts of earlier versions of the toolkit have means that pnnx reads wrongly.
    model = WidenChannelMean().rewritten(sizeless(read_model(artifact.path), manifest))
    # Of two sizes, pnnx concludes which dimensions are dynamic.
    shapes = [manifest.input.frame_shape(shape) for shape in probe_sizes(manifest.sizes)[:2]]
    texts = [f"[{','.join(map(str, shape))}]f32" for shape in shapes]
    with tempfile.TemporaryDirectory(prefix="toolkit-ncnn-") as name:
        home = Path(name)
        onnx = home / "network.onnx"
        onnx.write_bytes(model.SerializeToString())
        command = [str(program), str(onnx), f"inputshape={texts[0]}", f"inputshape2={texts[1]}", "fp16=0"]
        ended = run_isolated(["-c", _RUN], json.dumps(command).encode(), seconds=_SECONDS, memory=_MEMORY)
        files = home / "network.ncnn.param", home / "network.ncnn.bin"
        if ended.end != "done" or not all(file.is_file() for file in files):
            raise Unavailable(f"pnnx cannot convert {artifact.path}: {ended.reason or 'it wrote no ncnn network'}")
        return Converted(files[0].read_bytes(), files[1].read_bytes())


def _largest_error(artifact: Artifact, network: NcnnNetwork) -> float:
    manifest = artifact.manifest
    given, returned = manifest.input, manifest.output
    exact = float64_function(in_float64(sizeless(read_model(artifact.path), manifest)))
    truth = exact_network(exact, given, returned)
    errors = []
    for image in probe_images(probe_sizes(manifest.sizes)):
        frame = network.run(given.from_image(image)[0])[None]
        if frame.shape != returned.frame_shape(Shape(*image.shape[:2]).upscaled(manifest.network.scale)):
            raise ArtifactError(f"pnnx converts {artifact.path} to a network with results of {frame.shape}")
        errors.append(frame_error(returned, frame, truth(PLANAR.from_image(image, floating=np.float64))))
    return float(np.max(errors))
