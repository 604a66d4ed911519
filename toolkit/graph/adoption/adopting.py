"""Turns an ONNX file that others exported into the graph and manifest of an artifact, checking every step.

    file → read with limits → one type, named ends → float64, the truth → contract, by experiments on it
         → padding out of the graph → onnxsim → affine parts merged → unshuffle merged → float32 → manifest

The float64 graph has the constants of the file, widened exactly. It takes the place that the PyTorch network has in an
export: every step is compared with it. Runs in a process of its own: see `toolkit.graph.adoption.isolated`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

from toolkit.artifact import Manifest, Network, Source
from toolkit.checks import Check
from toolkit.errors import CheckFailed, InputError
from toolkit.findings import Finding
from toolkit.graph.adoption.contract import Measured, Stated, measured_contract
from toolkit.graph.adoption.ends import Ends, Function
from toolkit.graph.adoption.normalising import normalised, without_fixed_sizes
from toolkit.graph.adoption.reading import read_graph
from toolkit.graph.adoption.scale import measured_scale, measured_sizes
from toolkit.graph.adoption.source_file import source_check
from toolkit.graph.analysis.extending import for_any_size
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.analysis.locality import locality
from toolkit.graph.analysis.numerics import FLOAT64_BOUND, PROBE_SIZES, Probes, exact_network
from toolkit.graph.passes.fold_centring import FoldCentring
from toolkit.graph.passes.fold_norm_scale import FoldNormScale
from toolkit.graph.passes.merge_affine import MergeAffine
from toolkit.graph.passes.merge_unshuffle import MergeUnshuffle
from toolkit.graph.passes.release_padding import ReleasePadding
from toolkit.graph.pipeline import Deployment
from toolkit.graph.precision.calibration import calibration_images
from toolkit.graph.protos import opset_version, stored_tensors
from toolkit.graph.simplify import simplify
from toolkit.network.impulses import BLOCK_BOUND
from toolkit.precisions import FULL_PRECISION
from toolkit.sizes import SizeRule
from toolkit.system.atomic import sha256_of, sha256_of_file
from toolkit.system.progress import Progress, ProgressCallback
from toolkit.workloads import Shape, workload_for_scale

FLOAT32_BOUND = 2**-11
"""What float32 arithmetic may change, relative to the output's largest value: an eighth of a grey level of 255."""

VARIANT = "adopted"
"""`Network.variant` of graphs that others exported."""

_ODD_SIZES = Shape(27, 37), Shape(21, 20)
_TOOLS = ("rt4ksr-toolkit", "onnx", "onnx-ir", "onnxsim", "numpy")
_FLOATING = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True)
class Adopted:
    """A graph that is an artifact once it is written, with its manifest."""

    manifest: Manifest
    content: bytes


@dataclass(frozen=True)
class _Graph:
    """A float64 graph with what is known about it."""

    model: onnx.ModelProto
    sizes: SizeRule
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()


def adopted(
    path: Path, name: str, stated: Stated, licence: str | None, progress: ProgressCallback, *, with_simplify: bool = True
) -> Adopted:
    """The artifact that a file becomes.

    Args:
        path: of the ONNX file.
        name: of the artifact, with its precision.
        stated: facts that are not measured.
        licence: of the weights.
        progress: called as each step begins.
        with_simplify: run onnxsim.

    Raises:
        InputError: it is no super-resolution network.
        CheckFailed: a step changed the function.
    """
    progress(Progress("reading the graph"))
    original = read_graph(path)
    model, ends = _with_free_sizes(in_float64(normalised(original, str(path))))
    function = float64_function(model)
    progress(Progress("measuring what the network takes and returns"))
    measured = measured_contract(ends, function, calibration_images(), stated)
    _state_output(model, measured)
    graph = _without_padding(_Graph(model, measured.sizes), measured, ends, function)
    deployment = _deployed(graph, measured, function, progress, with_simplify=with_simplify)
    stored = deployment.store()
    deployment.run_in_float32(lambda _image: FLOAT32_BOUND)
    onnx.checker.check_model(stored, full_check=True)
    progress(Progress("comparing with ONNX Runtime"))
    compared = source_check(original, function, measured)
    seen = _receptive_field(stored)
    merges = tuple(check for check in deployment.checks if check.kind == "fusion")
    _set_metadata(stored, measured)
    content: bytes = stored.SerializeToString(deterministic=True)
    source = Source(
        file=path.name,
        sha256=sha256_of_file(path),
        layout="onnx",
        parameters=_parameters(original),
        kind="onnx",
        merged=not merges,
        findings=(*measured.findings, *graph.findings, seen),
        licence=licence,
    )
    manifest = _manifest(name, measured, graph.sizes, seen, source, deployment, stored, content)
    checks = (*manifest.checks, *graph.checks, *compared.checks)
    return Adopted(_replaced(manifest, checks, (*manifest.notes, *compared.notes)), content)
