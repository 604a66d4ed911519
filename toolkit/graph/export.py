"""A checkpoint becomes an artifact: merge, trace, rewrite, simplify, check."""

from __future__ import annotations

import copy
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

import msgspec
import onnx
import torch

from toolkit.artifact import Artifact, Manifest, check_replaceable
from toolkit.checks import Check
from toolkit.errors import CheckFailed, InputError
from toolkit.graph.analysis.numerics import relative_error
from toolkit.graph.pipeline import Deployed, deploy
from toolkit.graph.protos import opset_version
from toolkit.kinds import DEFAULT_DIRECTORY
from toolkit.manifest_parts import Network, Source, check_licence, is_plain_name
from toolkit.network.architectures.registry import AnyDetails
from toolkit.network.checkpoint import Checkpoint, serialised_weights
from toolkit.network.fusion import fuse
from toolkit.network.impulses import BLOCK_BOUND, ROUNDING_BOUND
from toolkit.network.module import NetworkModule, numpy_function, parameter_count
from toolkit.network.proof import prove_blocks
from toolkit.network.rounding import FloatCost
from toolkit.network.tracing import quiet_exporter
from toolkit.port import PLANAR, Layout, Port, rgb_port
from toolkit.precisions import FULL_PRECISION
from toolkit.system.atomic import sha256_of
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import Shape, workload_for_scale

DEFAULT_OPSET = 20
LOWEST_OPSET = 18
"""When asked for less, torch's exporter writes 18 without a warning."""

HIGHEST_OPSET = 25
"""When asked for more, the exporter fails to convert its graph, and writes 18 as well."""

_TOOLS = ("rt4ksr-toolkit", "torch", "onnx", "onnx-ir", "onnxscript", "onnxsim", "numpy")


@dataclass(frozen=True)
class ExportOptions:
    """How the ONNX graph should look.

    Attributes:
        opset: ONNX operator set, 18 or later.
        shape: fixed input size; None leaves height and width dynamic.
        uint8: layout of uint8 images at both ends; None is float32 NCHW, RGB 0..1.
        clamp: limit a float32 output to 0..1; networks overshoot at edges.
        simplify: run onnxsim.
        name: file name stem of the source; None builds `rt4ksr_x2` and the like.
        licence: of the weights, for the manifest; None: that of the checkpoint, where it is known.

    Example:
        >>> toolkit.ExportOptions(shape=toolkit.Shape(1080, 1920), uint8="NHWC").opset
        20
    """

    opset: int = DEFAULT_OPSET
    shape: Shape | None = None
    uint8: Layout | None = None
    clamp: bool = True
    simplify: bool = True
    name: str | None = None
    licence: str | None = None


def export(
    checkpoint: Checkpoint,
    options: ExportOptions = ExportOptions(),
    directory: Path | str = DEFAULT_DIRECTORY,
    progress: ProgressCallback = no_progress,
    *,
    overwrite: bool = False,
) -> Artifact:
    """Merge, trace, rewrite, simplify and check a network; write artifact, manifest and source weights.

    Args:
        checkpoint: from `load_checkpoint`.
        options: see `ExportOptions`.
        directory: created when missing; files appear whole or not at all.
        progress: called as each step begins.
        overwrite: replace an artifact of the same name that was made from other weights.

    Raises:
        InputError: an opset, name or licence that is not supported.
        OutputExists: there is an artifact of that name from other weights.
        CheckFailed: a check did not hold; nothing is written.

    Example:
        >>> artifact = toolkit.export(toolkit.bundled_checkpoint(3), directory="exported/x3")
        >>> artifact.path.name
        'rt4ksr_x3_fp32.onnx'
    """
    _check_options(options)
    network = checkpoint.network
    weights = serialised_weights(network)
    digest = sha256_of(weights)
    name = f"{_stem(checkpoint, options)}_fp32{_variant(options)}"  # the options are part of it
    check_replaceable(Path(directory), name, lambda known: known.source.weights_sha256 == digest, overwrite=overwrite)
    fused = fuse(network)
    proofs = _prove(network, fused)
    progress(Progress("torch.onnx.export"))
    exact = copy.deepcopy(fused).double()
    deployed = deploy(
        trace(exact, options.opset),
        network.config,
        numpy_function(exact, "float64"),
        FloatCost(fused, relative_error).arithmetic,
        shape=options.shape,
        uint8_layout=options.uint8,
        clamp=options.clamp,
        with_simplify=options.simplify,
        progress=progress,
    )
    facts, source = _facts(checkpoint, fused, options, digest)
    model = _serialised(deployed.model, checkpoint)
    manifest = _manifest(checkpoint, options, facts, source, deployed, model)
    manifest = msgspec.structs.replace(manifest, checks=(*proofs, *manifest.checks))
    return Artifact.write(Path(directory), model, manifest, weights)


def trace(network: NetworkModule, opset: int = DEFAULT_OPSET) -> onnx.ModelProto:
    """The network as torch's exporter writes it, in its own floating type, for the sizes that it takes as they are.

    Height and width are dynamic.

    Raises:
        InputError: the exporter would write another opset than asked for.
    """
    multiple = network.config.sizes.multiple
    aligned = copy.deepcopy(network).eval()
    # Not a module around it: names of parameters, and so of nodes, would gain a prefix.
    aligned.forward = aligned.forward_aligned  # type: ignore[method-assign]
    sides = {axis: multiple * torch.export.Dim(f"{name}_parts", min=1) for axis, name in ((2, "height"), (3, "width"))}
    with quiet_exporter():
        program = torch.onnx.export(
            aligned,
            (torch.zeros(1, 3, 12 * multiple, 16 * multiple, dtype=network.dtype),),
            dynamo=True,
            opset_version=opset,
            dynamic_shapes=(sides,),
            input_names=["input"],
            output_names=["output"],
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise CheckFailed("torch.onnx.export returned nothing")
    model = program.model_proto
    written = opset_version(model)
    if written != opset:
        raise InputError(
            f"torch {torch.__version__} writes opset {written} when asked for {opset}", f"Use --opset {DEFAULT_OPSET}."
        )
    return model


def _facts(
    checkpoint: Checkpoint, fused: NetworkModule, options: ExportOptions, weights_sha256: str
) -> tuple[Network, Source]:
    """What a manifest says about the network and where it came from."""
    config = checkpoint.config
    network = Network(
        scale=config.scale,
        parameters=parameter_count(fused),
        variant=checkpoint.architecture.variant(config),
        size_multiple=config.sizes.multiple,
        smallest=config.sizes.smallest,
        details=cast(AnyDetails, checkpoint.details),  # a Details of a registered architecture
    )
    source = Source(
        file=checkpoint.file,
        sha256=checkpoint.sha256,
        layout=checkpoint.layout,
        parameters=parameter_count(checkpoint.network),
        weights=f"{_stem(checkpoint, options)}-{weights_sha256[:8]}.safetensors",  # another's must not replace them
        weights_sha256=weights_sha256,
        merged=checkpoint.merged,
        licence=options.licence or checkpoint.licence,
    )
    return network, source


def _manifest(
    checkpoint: Checkpoint,
    options: ExportOptions,
    network: Network,
    source: Source,
    deployed: Deployed,
    model: bytes,
) -> Manifest:
    config, graph = checkpoint.config, deployed.model.graph
    return Manifest(
        name=f"{_stem(checkpoint, options)}_fp32{_variant(options)}",
        precision=FULL_PRECISION,
        network=network,
        source=source,
        input=_port(graph.input[0], options),
        output=msgspec.structs.replace(
            _port(graph.output[0], options), clamped=options.clamp and options.uint8 is None
        ),
        opset=options.opset,
        shape=None if options.shape is None else (options.shape.height, options.shape.width),
        workload=_workload(config.scale, options.shape),
        onnx_sha256=sha256_of(model),
        onnx_bytes=len(model),
        tools={"python": platform.python_version()} | {tool: version(tool) for tool in _TOOLS},
        steps=deployed.steps,
        checks=deployed.checks,
        notes=(*checkpoint.notes, *checkpoint.architecture.export_notes(config)),
    )


def _prove(network: NetworkModule, fused: NetworkModule) -> list[Check]:
    proofs = prove_blocks(network, fused)
    checks = [Check.of("fusion", proof.name, proof.measured, BLOCK_BOUND) for proof in proofs]
    checks += [Check.of("stored weights", proof.name, proof.rounding, ROUNDING_BOUND) for proof in proofs]
    if failed := [check.name for check in checks if not check.passed]:
        raise CheckFailed(
            f"the merged network computes another function: {', '.join(failed)}",
            "Run `toolkit verify-fusion` for the details.",
        )
    return checks


def _check_options(options: ExportOptions) -> None:
    highest = min(HIGHEST_OPSET, onnx.defs.onnx_opset_version())
    if not LOWEST_OPSET <= options.opset <= highest:
        raise InputError(
            f"opset {options.opset} is not supported: torch's exporter would silently write another",
            f"Choose {LOWEST_OPSET} to {highest}.",
        )
    name = options.name
    if name is not None and not is_plain_name(name):
        raise InputError(f"name {name!r} is not a plain file name")
    check_licence(options.licence)


def _variant(options: ExportOptions) -> str:
    """What distinguishes this artifact's file name from the plain one."""
    parts = [f"uint8-{options.uint8.lower()}"] if options.uint8 else []
    parts += [] if options.clamp or options.uint8 else ["unclamped"]
    parts += [str(options.shape)] if options.shape else []
    parts += [f"opset{options.opset}"] if options.opset != DEFAULT_OPSET else []
    parts += [] if options.simplify else ["unsimplified"]
    return "".join(f"_{part}" for part in parts)


def _stem(checkpoint: Checkpoint, options: ExportOptions) -> str:
    """First part of the file names: `rt4ksr_x2` for the released networks."""
    # Random weights must not take a trained network's place, nor weights for video that of the others.
    suffix = "_untrained" if checkpoint.untrained else "_video" if checkpoint.purpose == "video" else ""
    return options.name or f"{checkpoint.architecture.file_stem(checkpoint.config)}{suffix}"


def _workload(scale: int, shape: Shape | None) -> str | None:
    """The 4K workload this artifact serves: its scale's, unless another size is built in."""
    workload = workload_for_scale(scale)
    return workload.name if workload is not None and shape in (None, workload.shape) else None


def _port(end: onnx.ValueInfoProto, options: ExportOptions) -> Port:
    dims = end.type.tensor_type.shape.dim
    port = PLANAR if options.uint8 is None else rgb_port("uint8", options.uint8)
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims)
    return msgspec.structs.replace(port, name=end.name, shape=shape)


def _serialised(model: onnx.ModelProto, checkpoint: Checkpoint) -> bytes:
    """The model as bytes, with the most important facts of its manifest in its metadata."""
    model.producer_name, model.producer_version = "rt4ksr-toolkit", version("rt4ksr-toolkit")
    model.doc_string = ""
    model.graph.name = f"{checkpoint.architecture.name}_x{checkpoint.config.scale}"
    essentials = {
        "rt4ksr.precision": FULL_PRECISION,
        "rt4ksr.scale": checkpoint.config.scale,
        **{f"rt4ksr.{key}": value for key, value in checkpoint.details.metadata},
        "rt4ksr.source_sha256": checkpoint.sha256,
    }
    onnx.helper.set_model_props(model, {key: str(value) for key, value in essentials.items()})
    content: bytes = model.SerializeToString(deterministic=True)
    return content
