"""Turns an ONNX file that others exported into the graph and manifest of an artifact, checking every step.

    file → read with limits → one type, named ends → float64, the truth → contract, by experiments on it
         → padding out of the graph → affine parts merged → onnxsim → unshuffle merged → float32 → manifest

The float64 graph has the constants of the file, widened exactly. It takes the place that the PyTorch network has in an
export: every step is compared with it. Runs in a process of its own: see `toolkit.graph.adoption.isolated`.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import onnx

from toolkit.artifact import Manifest
from toolkit.checks import Check
from toolkit.errors import InputError
from toolkit.findings import Finding
from toolkit.graph.adoption.contract import Measured, measured_contract
from toolkit.graph.adoption.ends import Ends, Function
from toolkit.graph.adoption.normalising import fixed_batch, fixed_size, normalised, without_fixed_sizes
from toolkit.graph.adoption.scale import measured_scale, measured_sizes
from toolkit.graph.adoption.source_file import source_check
from toolkit.graph.adoption.stated import Stated
from toolkit.graph.analysis.extending import for_any_size
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.analysis.locality import Locality, WholeFrame, locality
from toolkit.graph.analysis.numerics import FLOAT64_BOUND, Probes, exact_network, probe_sizes, relative_error
from toolkit.graph.any_size import without_size_check
from toolkit.graph.passes.check_size import CheckSize
from toolkit.graph.passes.fold_centring import FoldCentring
from toolkit.graph.passes.fold_norm_scale import FoldNormScale
from toolkit.graph.passes.merge_affine import MergeAffine
from toolkit.graph.passes.merge_unshuffle import MergeUnshuffle
from toolkit.graph.passes.release_padding import ReleasePadding
from toolkit.graph.passes.widen_channel_mean import WidenChannelMean
from toolkit.graph.pipeline import Deployment
from toolkit.graph.precision.calibration import calibration_images
from toolkit.graph.protos import opset_version, stored_tensors
from toolkit.graph.simplify import simplify
from toolkit.manifest_parts import Network, Source
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
    original: onnx.ModelProto,
    path: Path,
    name: str,
    stated: Stated,
    licence: str | None,
    progress: ProgressCallback,
    *,
    with_simplify: bool = True,
) -> Adopted:
    """The artifact that a file becomes.

    Args:
        original: from `reading.read_graph`.
        path: of the file that it was read from.
        name: of the artifact, with its precision.
        stated: facts that are not measured.
        licence: of the weights.
        progress: called as each step begins.
        with_simplify: run onnxsim.

    Raises:
        InputError: it is no super-resolution network.
        CheckFailed: a step changed the function.
    """
    # An artifact's own size check would only look like a dependence on the whole frame.
    model = in_float64(normalised(without_size_check(original), str(path)))
    model, ends = (model, Ends.of(model)) if stated.keep_size else _with_free_sizes(model)
    function = float64_function(model)
    progress(Progress("measuring what the network takes and returns"))
    measured = measured_contract(ends, function, calibration_images(), stated)
    _state_output(model, measured)
    graph = _without_padding(_Graph(model, measured.sizes), measured, ends, function, stated.sizes)
    deployment = _deployed(graph, measured, function, progress, with_simplify=with_simplify)
    stored = deployment.store()
    deployment.run_in_float32(lambda _image: FLOAT32_BOUND)
    onnx.checker.check_model(stored, full_check=True)
    progress(Progress("comparing with ONNX Runtime"))
    compared = source_check(original, function, measured)
    local = locality(stored)
    _set_metadata(stored, measured)
    content: bytes = stored.SerializeToString(deterministic=True)
    source = Source(
        file=path.name,
        sha256=sha256_of_file(path),
        layout="onnx",
        parameters=_parameters(original),
        kind="onnx",
        findings=(*_with_freed(measured, original), *graph.findings, _receptive_field(local)),
        licence=licence,
    )
    manifest = _manifest(name, measured, graph.sizes, local, source, deployment, stored, content)
    checks = (*manifest.checks, *graph.checks, *compared.checks)
    return Adopted(msgspec.structs.replace(manifest, checks=checks, notes=compared.notes), content)


def _with_free_sizes(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Ends]:
    """The graph with dynamic height and width, if it runs at other sizes than the one that it was exported for."""
    ends = Ends.of(model)
    if ends.fixed is None:
        return model, ends
    freed = without_fixed_sizes(model)
    free, function = Ends.of(freed), float64_function(freed)
    try:
        scale, _ = measured_scale(free, function)
        measured_sizes(free, function, scale)
    except InputError:
        return model, ends
    return freed, free


def _with_freed(measured: Measured, original: onnx.ModelProto) -> tuple[Finding, ...]:
    """The findings; the one about sizes says what the file states and the artifact does not."""
    size, batch = fixed_size(original), fixed_batch(original)
    freed = [f"its batch of {batch} became 1"] if batch > 1 else []
    if size is not None and measured.fixed is None:
        freed.insert(0, f"the file states {size}, and also runs at other sizes")
    return tuple(
        msgspec.structs.replace(finding, evidence="; ".join((*freed, finding.evidence)))
        if finding.fact == "sizes"
        else finding
        for finding in measured.findings
    )


def _state_output(model: onnx.ModelProto, measured: Measured) -> None:
    """Give the output of the graph its four dimensions, in place."""
    shape = model.graph.output[0].type.tensor_type.shape
    del shape.dim[:]
    for side in measured.output.shape:
        dim = shape.dim.add()
        if isinstance(side, int):
            dim.dim_value = side
        else:
            dim.dim_param = side


def _without_padding(
    graph: _Graph, measured: Measured, ends: Ends, function: Function, stated: SizeRule | None
) -> _Graph:
    """The graph without padding of its own, where extending images by reflection gives the same."""
    graph_pass = ReleasePadding()
    released = graph_pass.rewritten(graph.model)
    if len(released.graph.node) == len(graph.model.graph.node):
        return graph
    inner = float64_function(released)
    sizes, _ = measured_sizes(ends, inner, measured.scale, stated)
    outer = for_any_size(inner, measured.input, measured.output, measured.scale, sizes)
    generator = np.random.default_rng(0)
    frames = [measured.input.noise(shape, generator) for shape in _ODD_SIZES]
    wide = [frame if ends.uint8 else frame.astype(np.float64) for frame in frames]
    error = max(relative_error(outer(frame).astype(np.float64), function(frame).astype(np.float64)) for frame in wide)
    check = Check.of("graph", graph_pass.title, error, FLOAT64_BOUND, "sizes that are extended")
    if not check.passed:
        evidence = f"extending images by reflection instead changes results by {error:.1e} of white"
        return _Graph(graph.model, graph.sizes, (Finding("padding", "inside the graph", evidence),))
    evidence = f"the graph padded by reflection, as sessions do; difference {error:.1e}"
    return _Graph(released, sizes, (Finding("padding", f"outside the graph: {sizes}", evidence),), (check,))


def _deployed(
    graph: _Graph, measured: Measured, function: Function, progress: ProgressCallback, *, with_simplify: bool
) -> Deployment:
    """The graph after all passes, each compared with the graph as it was."""
    sizes = probe_sizes(graph.sizes, measured.fixed)
    truth = exact_network(function, measured.input, measured.output)
    deployment = Deployment(
        graph.model, Probes.of(truth, sizes), progress, given=measured.input, returned=measured.output
    )
    deployment.record("adopted graph", graph.model)
    # Before onnxsim, which moves constants to where they are no part of an affine map.
    merging = MergeAffine()
    deployment.run(merging)
    for merge in merging.merges:
        deployment.check("fusion", merge.name, merge.error, BLOCK_BOUND)
    if with_simplify:
        progress(Progress("onnxsim"))
        deployment.record("onnxsim", simplify(deployment.model))
    for graph_pass in (MergeUnshuffle(foreign=True), FoldNormScale(), FoldCentring(), WidenChannelMean()):
        deployment.run(graph_pass)
    if measured.fixed is None and graph.sizes.multiple > 1:
        deployment.run(CheckSize(measured.scale, measured.input))
    del deployment.model.graph.value_info[:]
    return deployment


def _receptive_field(found: Locality | WholeFrame) -> Finding:
    """How far a pixel of the result looks, by the graph."""
    if isinstance(found, WholeFrame):
        return Finding("receptive field", "whole frame", f"{found.reason}; images are not upscaled in strips")
    return Finding("receptive field", f"{max(found.above, found.below)} pixels", "by the kernels of the graph")


def _parameters(model: onnx.ModelProto) -> int:
    """Floating-point constants with more than one value: weights, not factors."""
    counts = (int(np.prod(tensor.dims)) for tensor in stored_tensors(model) if tensor.data_type in _FLOATING)
    return sum(count for count in counts if count > 1)


def _set_metadata(model: onnx.ModelProto, measured: Measured) -> None:
    model.producer_name, model.producer_version = "rt4ksr-toolkit", version("rt4ksr-toolkit")
    onnx.helper.set_model_props(model, {"rt4ksr.precision": FULL_PRECISION, "rt4ksr.scale": str(measured.scale)})


def _manifest(
    name: str,
    measured: Measured,
    sizes: SizeRule,
    local: Locality | WholeFrame,
    source: Source,
    deployment: Deployment,
    model: onnx.ModelProto,
    content: bytes,
) -> Manifest:
    workload = workload_for_scale(measured.scale)
    network = Network(
        scale=measured.scale,
        parameters=_parameters(model),
        variant=VARIANT,
        size_multiple=sizes.multiple,
        smallest=sizes.smallest,
        receptive_field="whole frame" if isinstance(local, WholeFrame) else None,
    )
    fixed = measured.fixed
    return Manifest(
        name=name,
        precision=FULL_PRECISION,
        network=network,
        source=source,
        input=measured.input,
        output=measured.output,
        opset=opset_version(model),
        shape=None if fixed is None else (fixed.height, fixed.width),
        workload=workload.name if workload is not None and fixed in (None, workload.shape) else None,
        onnx_sha256=sha256_of(content),
        onnx_bytes=len(content),
        tools={"python": platform.python_version()} | {tool: version(tool) for tool in _TOOLS},
        steps=tuple(deployment.steps),
        checks=tuple(deployment.checks),
    )
