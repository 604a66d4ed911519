"""A checkpoint becomes an artifact: merge, trace, rewrite, simplify, check."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import platform
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import msgspec
import onnx
import torch

from toolkit.artifact import DEFAULT_DIRECTORY, Artifact, Manifest, Network, Source, check_replaceable, is_plain_name
from toolkit.checks import Check
from toolkit.errors import CheckFailed, InputError
from toolkit.graph.analysis.numerics import relative_error
from toolkit.graph.pipeline import Deployed, deploy
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.model import RT4KSR, numpy_function, parameter_count
from toolkit.network.architectures.rt4ksr.presets import preset_name
from toolkit.network.checkpoint import Checkpoint, serialised_weights
from toolkit.network.fusion import fuse
from toolkit.network.proof import BLOCK_BOUND, ROUNDING_BOUND, prove_blocks
from toolkit.network.rounding import FloatCost
from toolkit.port import PLANAR, Layout, Port, rgb_port
from toolkit.system.atomic import sha256_of
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import Shape, workload_for_scale

DEFAULT_OPSET = 20
LOWEST_OPSET = 18
"""torch's exporter writes 18 when asked for less, without a word."""

HIGHEST_OPSET = 25
"""Beyond it the exporter fails to convert, and writes 18 as well."""

_TOOLS = ("rt4ksr-toolkit", "torch", "onnx", "onnx-ir", "onnxscript", "onnxsim", "numpy")
_RELEASED = NetworkConfig()


@dataclass(frozen=True)
class ExportOptions:
    """How the ONNX graph should look.

    Attributes:
        opset: ONNX operator set, 18 or later.
        shape: fixed input size; None leaves height and width dynamic.
        uint8: layout of uint8 images at both ends; None is float32 NCHW, RGB 0..1.
        simplify: run onnxsim.
        name: file name stem of the source; None builds `rt4ksr_x2` and the like.
    """

    opset: int = DEFAULT_OPSET
    shape: Shape | None = None
    uint8: Layout | None = None
    simplify: bool = True
    name: str | None = None


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
        InputError: an opset or name that is not supported.
        OutputExists: there is an artifact of that name from other weights.
        CheckFailed: a check did not hold; nothing is written.
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
        with_simplify=options.simplify,
        progress=progress,
    )
    facts, source = _facts(checkpoint, fused, options, digest)
    model = _serialised(deployed.model, facts, source)
    manifest = _manifest(checkpoint, options, facts, source, deployed, model)
    manifest = msgspec.structs.replace(manifest, checks=(*proofs, *manifest.checks))
    return Artifact.write(Path(directory), model, manifest, weights)


def trace(network: RT4KSR, opset: int = DEFAULT_OPSET) -> onnx.ModelProto:
    """The network as torch's exporter writes it, in its own floating type, height and width dynamic and even.

    Raises:
        InputError: the exporter would write another opset than asked for.
    """
    dtype = network.head.weight.dtype
    even = _EvenSizes(network.config).eval().to(dtype)
    even.load_state_dict(network.state_dict())
    half = {2: 2 * torch.export.Dim("half_height", min=1), 3: 2 * torch.export.Dim("half_width", min=1)}
    with _quiet():
        program = torch.onnx.export(
            even,
            (torch.zeros(1, 3, 24, 32, dtype=dtype),),
            dynamo=True,
            opset_version=opset,
            dynamic_shapes=(half,),
            input_names=["input"],
            output_names=["output"],
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise CheckFailed("torch.onnx.export returned nothing")
    model = program.model_proto
    written = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if written != opset:
        raise InputError(
            f"torch {torch.__version__} writes opset {written} when asked for {opset}", f"Use --opset {DEFAULT_OPSET}."
        )
    return model


class _EvenSizes(RT4KSR):
    """The network proper; a subclass and no wrapper, so that module names do not gain a prefix."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_even(x)


def _facts(
    checkpoint: Checkpoint, fused: RT4KSR, options: ExportOptions, weights_sha256: str
) -> tuple[Network, Source]:
    """What a manifest says about the network and where it came from."""
    config = checkpoint.config
    network = Network(
        scale=config.scale,
        channels=config.channels,
        blocks=config.blocks,
        high_frequency=config.high_frequency,
        high_frequency_reason=checkpoint.high_frequency_reason,
        parameters=parameter_count(fused),
        variant=preset_name(config) or "custom",
    )
    source = Source(
        file=checkpoint.file,
        sha256=checkpoint.sha256,
        layout=checkpoint.layout,
        parameters=parameter_count(checkpoint.network),
        weights=f"{_stem(checkpoint, options)}-{weights_sha256[:8]}.safetensors",  # another's must not replace them
        weights_sha256=weights_sha256,
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
        precision="fp32",
        network=network,
        source=source,
        input=_port(graph.input[0], options),
        output=_port(graph.output[0], options),
        opset=options.opset,
        shape=None if options.shape is None else (options.shape.height, options.shape.width),
        smallest=config.sizes.smallest,
        workload=_workload(config.scale, options.shape),
        onnx_sha256=sha256_of(model),
        onnx_bytes=len(model),
        tools={"python": platform.python_version()} | {tool: version(tool) for tool in _TOOLS},
        steps=deployed.steps,
        checks=deployed.checks,
        notes=(*checkpoint.notes, *_unmerged(config)),
    )


def _unmerged(config: NetworkConfig) -> tuple[str, ...]:
    """What a user who expects merging should know."""
    notes = []
    if config.block in ("naf", "separable"):
        notes.append(f"{config.block} blocks have nothing to merge: they are exported as they are")
    elif config.block == "projected":
        notes.append("projected blocks: only their reparameterizable convolution is merged; the 1x1 after it stays")
    if config.whole_frame:
        notes.append(f"attention {config.attention} reads the whole frame: an image cannot be upscaled in parts")
    return tuple(notes)


def _prove(network: RT4KSR, fused: RT4KSR) -> list[Check]:
    proofs = prove_blocks(network, fused)
    checks = [Check.of("fusion", proof.name, proof.measured, BLOCK_BOUND) for proof in proofs]
    checks += [Check.of("stored weights", proof.name, proof.rounding, ROUNDING_BOUND) for proof in proofs]
    if failed := [check.name for check in checks if not check.passed]:
        raise CheckFailed(f"the merge is wrong: {', '.join(failed)}", "Run `toolkit verify-fusion` for the details.")
    return checks


def _check_options(options: ExportOptions) -> None:
    highest = min(HIGHEST_OPSET, onnx.defs.onnx_opset_version())
    if not LOWEST_OPSET <= options.opset <= highest:
        raise InputError(
            f"opset {options.opset} cannot be had: torch's exporter would silently write another",
            f"Choose {LOWEST_OPSET} to {highest}.",
        )
    name = options.name
    if name is not None and not is_plain_name(name):
        raise InputError(f"name {name!r} is not a plain file name")


def _variant(options: ExportOptions) -> str:
    """What distinguishes this artifact's file name from the plain one."""
    parts = [f"uint8-{options.uint8.lower()}"] if options.uint8 else []
    parts += [str(options.shape)] if options.shape else []
    parts += [f"opset{options.opset}"] if options.opset != DEFAULT_OPSET else []
    parts += [] if options.simplify else ["unsimplified"]
    return "".join(f"_{part}" for part in parts)


def _stem(checkpoint: Checkpoint, options: ExportOptions) -> str:
    """`rt4ksr_x2`, with what differs from the released networks: a preset's name, or channels, blocks, and branch."""
    if options.name:
        return options.name
    config = checkpoint.config
    preset, released = preset_name(config), preset_name(replace(config, hidden=_RELEASED.hidden))
    if "rt4ksr" in (preset, released):
        variant = ""
    elif preset is not None:
        variant = f"_{preset.removeprefix('rt4ksr-')}"
    else:
        kind = "" if config.released_layout else f"_{config.block}-{config.resolution}-{config.attention}"
        variant = f"_c{config.channels}b{config.blocks}{kind}{'_hf' if config.high_frequency else ''}"
    # Random weights must not take a trained network's place.
    untrained = "_untrained" if checkpoint.layout == "untrained" else ""
    return f"rt4ksr_x{config.scale}{variant}{untrained}"


def _workload(scale: int, shape: Shape | None) -> str | None:
    """The 4K workload this artifact serves: its scale's, unless another size is built in."""
    workload = workload_for_scale(scale)
    return workload.name if workload is not None and shape in (None, workload.shape) else None


def _port(end: onnx.ValueInfoProto, options: ExportOptions) -> Port:
    dims = end.type.tensor_type.shape.dim
    port = PLANAR if options.uint8 is None else rgb_port("uint8", options.uint8)
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in dims)
    return msgspec.structs.replace(port, name=end.name, shape=shape)


def _serialised(model: onnx.ModelProto, network: Network, source: Source) -> bytes:
    """Bytes of the model with the essentials of its manifest inside."""
    model.producer_name, model.producer_version = "rt4ksr-toolkit", version("rt4ksr-toolkit")
    model.doc_string = ""
    model.graph.name = f"rt4ksr_x{network.scale}"
    essentials = {
        "rt4ksr.precision": "fp32",
        "rt4ksr.scale": network.scale,
        "rt4ksr.channels": network.channels,
        "rt4ksr.blocks": network.blocks,
        "rt4ksr.high_frequency": network.high_frequency,
        "rt4ksr.source_sha256": source.sha256,
    }
    onnx.helper.set_model_props(model, {key: str(value) for key, value in essentials.items()})
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter tells developers of torch things that users of an exporter cannot act on."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
