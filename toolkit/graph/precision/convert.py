"""An fp32 artifact in another precision: rewrite, measure against float64, write."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from toolkit.artifact import Artifact, Manifest, Precision, Step, check_replaceable
from toolkit.checks import Check
from toolkit.conversion import Conversion, CurveCost, CurvePoint
from toolkit.errors import CheckFailed, InputError
from toolkit.graph.analysis.numerics import Probes
from toolkit.graph.editing import copied
from toolkit.graph.matching import reads_whole_frame
from toolkit.graph.passes.base import GraphPass
from toolkit.graph.precision.calibration import (
    PERCENTILE,
    Method,
    activation_magnitudes,
    calibration_images,
)
from toolkit.graph.precision.centring import CentreOutputs, output_means
from toolkit.graph.precision.keeping import BETWEEN, kept_nodes
from toolkit.graph.precision.lower import LowerPrecision
from toolkit.graph.precision.quantise import QuantiseConvs
from toolkit.graph.precision.rounding import RoundedWeights, round_weights
from toolkit.graph.precision.scaling import ScaleChannels, channel_factors
from toolkit.graph.reading import read_model
from toolkit.graph.source import source_checkpoint
from toolkit.images import centre_crop
from toolkit.network.module import numpy_function
from toolkit.system.atomic import sha256_of
from toolkit.system.foreign import foreign
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import Shape

_TARGETS = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}

BF16_OPSET = 22
"""The first opset in which Conv takes bfloat16."""

_CROP = 128
"""Height and width of the images that bf16 weights are rounded on: there are enough pixels in them."""

# Largest and mean error on probe images, for outputs in 0..1. They catch a broken conversion, and say nothing about the
# quality that a sound one costs: `toolkit.convert` measures that. In int8 a single value may be off by any amount where
# a range was cut, so that only the mean is bounded.
BOUNDS: dict[Precision, tuple[float | None, float]] = {"fp16": (0.03, 0.005), "bf16": (0.2, 0.03), "int8": (None, 0.15)}


@dataclass(frozen=True)
class ConvertOptions:
    """How a precision is made.

    Attributes:
        keep_fp32: for fp16 and bf16: names of nodes that stay in float32; a name also means everything below it
            (`body.0.norm`), `norm` every norm, and `between` everything but the dense convolutions. Means over a whole
            frame always do: two million halves add up to nothing sensible.
        exclude: for int8: convolutions that stay in float32.
        calibration: for int8: directory of images; None takes those that ship with the toolkit.
        method: for int8: how a range is chosen from what was seen.
        percentile: of magnitudes, for method `percentile`.
        suffix: after the precision in the artifact's name.
        curve: of the tuning that chose the names, for the manifest.
        curve_cost: what its costs are shares of.
    """

    keep_fp32: tuple[str, ...] = (BETWEEN,)
    exclude: tuple[str, ...] = ()
    calibration: Path | None = None
    method: Method = "percentile"
    percentile: float = PERCENTILE
    suffix: str = ""
    curve: tuple[CurvePoint, ...] = ()
    curve_cost: CurveCost | None = None

    def shared_out(self, precisions: Collection[Precision]) -> dict[Precision, ConvertOptions]:
        """To each precision those of the options that go with it.

        Raises:
            InputError: an option goes with none of them.
        """
        if self.keep_fp32 not in ((), ConvertOptions.keep_fp32) and set(precisions) <= {"int8"}:
            raise InputError("keep-fp32 goes with fp16 and bf16", "For int8, name convolutions with --exclude.")
        if self._of_int8 and "int8" not in precisions:
            raise InputError(f"{', '.join(self._of_int8)}: only int8 is calibrated, not {', '.join(precisions)}")
        given = {name: getattr(self, name) for name in _INT8}
        bare = replace(self, **{name: getattr(ConvertOptions, name) for name in given})
        return {wanted: replace(self, keep_fp32=()) if wanted == "int8" else bare for wanted in precisions}

    @property
    def _of_int8(self) -> list[str]:
        """Options that were given and go with int8."""
        return [name for name in _INT8 if getattr(self, name) != getattr(ConvertOptions, name)]


_INT8 = ("exclude", "calibration", "method", "percentile")


def convert(
    artifact: Artifact,
    precision: Precision,
    options: ConvertOptions = ConvertOptions(),
    directory: Path | None = None,
    progress: ProgressCallback = no_progress,
    *,
    overwrite: bool = False,
) -> Artifact:
    """Write `artifact` in another precision, beside it unless told otherwise: `converted` on disk.

    Its quality is not measured here: `toolkit.convert` does that too.

    Raises:
        As `check_output` and `converted`; nothing is written then.
    """
    check_output(artifact, precision, options, directory, overwrite=overwrite)
    return converted(artifact, precision, options, progress).write(directory)


def check_output(
    artifact: Artifact, precision: Precision, options: ConvertOptions, directory: Path | None, *, overwrite: bool
) -> None:
    """Find out before any work whether it can be made, and whether the result would replace another artifact.

    Raises:
        InputError: see `check_request`.
        OutputExists: there is one of its name, from other weights or with other options.
    """
    check_request(artifact.manifest, precision, options)
    expected = _conversion(artifact, precision, options)
    check_replaceable(
        directory or artifact.path.parent,
        _name(artifact.manifest, precision, options),
        lambda known: known.conversion == expected,
        overwrite=overwrite,
    )


def _name(manifest: Manifest, precision: Precision, options: ConvertOptions) -> str:
    return manifest.name.replace("_fp32", f"_{precision}{options.suffix}", 1)


@dataclass(frozen=True)
class Converted:
    """An artifact in another precision that is not on disk yet.

    Attributes:
        parent: the fp32 artifact.
        model: the graph.
        content: its bytes.
        manifest: what is known about it.
    """

    parent: Artifact
    model: onnx.ModelProto
    content: bytes
    manifest: Manifest

    def write(self, directory: Path | None = None) -> Artifact:
        """Write it, beside its parent unless told otherwise."""
        weights = None if self.parent.weights_path is None else self.parent.read_weights().read_bytes()
        return Artifact.write(directory or self.parent.path.parent, self.content, self.manifest, weights)


def converted(
    artifact: Artifact,
    precision: Precision,
    options: ConvertOptions = ConvertOptions(),
    progress: ProgressCallback = no_progress,
) -> Converted:
    """`artifact` in another precision, measured against float64.

    Input and output keep their types. The error against float64 goes into the manifest. It is measured with ONNX's
    reference implementation, which computes in the precision it is given; ONNX Runtime on a CPU computes fp16 in fp32.

    Raises:
        InputError: the artifact is not fp32, an option does not fit the precision, or a name fits no node.
        Unavailable: int8 without ONNX Runtime, whose calibrators are used.
        CheckFailed: the error is beyond what this precision should cost.
    """
    manifest = artifact.manifest
    check_request(manifest, precision, options)
    progress(Progress(f"converting to {precision}"))
    model = read_model(artifact.path)
    with foreign(f"{artifact.path} cannot be converted to {precision}"):
        lowered, graph_pass = rewritten(model, manifest, precision, options)
    progress(Progress("measuring the error"))
    losses = graph_pass.losses if isinstance(graph_pass, LowerPrecision) else {}
    notes = tuple(f"{precision}: node {node}, {name}: {loss}" for (node, name), loss in losses.items())
    with foreign(f"{artifact.path} as {precision} cannot be run"):
        checks = _measure(lowered, artifact, precision, notes)
    content = lowered.SerializeToString(deterministic=True)
    made = msgspec.structs.replace(
        manifest,
        name=_name(manifest, precision, options),
        precision=precision,
        opset=max(manifest.opset, BF16_OPSET) if precision == "bf16" else manifest.opset,
        onnx_sha256=sha256_of(content),
        onnx_bytes=len(content),
        steps=(*manifest.steps, Step(graph_pass.title, len(lowered.graph.node), "; ".join(graph_pass.refusals))),
        checks=(*manifest.checks, *checks),
        verdicts=(),
        notes=(*manifest.notes, *notes),
        conversion=_conversion(artifact, precision, options),
    )
    return Converted(artifact, lowered, content, made)


def rewritten(
    model: onnx.ModelProto,
    manifest: Manifest,
    precision: Precision,
    options: ConvertOptions,
    magnitudes: Mapping[str, float] | None = None,
    prepared: Prepared | None = None,
) -> tuple[onnx.ModelProto, GraphPass]:
    """The graph in another precision, valid, not yet measured; and the pass that did it.

    Args:
        model: of an fp32 artifact; it is left as it is.
        manifest: of that artifact.
        precision: the target.
        options: see `ConvertOptions`.
        magnitudes: for int8: ranges that were measured already; None: measure them.
        prepared: for fp16 and bf16: of `prepare`; None: prepare it.

    Raises:
        InputError: an option does not fit the graph.
    """
    if precision == "int8":
        graph = ir.from_proto(model)
        ranges = calibrated(model, manifest, options) if magnitudes is None else magnitudes
        graph_pass: GraphPass = QuantiseConvs(ranges, options.exclude)
    else:
        graph, graph_pass = _lowering(prepared or prepare(model, manifest, precision), manifest, precision, options)
    try:
        graph_pass(graph)  # runs `requires` before and `ensures` after
    except ir.passes.InvariantError as error:
        raise InputError(f"{manifest.name} cannot be converted to {precision}: {error}") from error
    converted = ir.to_proto(graph)
    del converted.graph.value_info[:]
    _mark(converted, precision)
    onnx.checker.check_model(converted, full_check=True)
    return converted, graph_pass


def calibrated(model: onnx.ModelProto, manifest: Manifest, options: ConvertOptions) -> dict[str, float]:
    """The magnitude of every tensor around a convolution that int8's 127 should stand for."""
    images = calibration_images(options.calibration, manifest.sizes)
    return activation_magnitudes(sizeless(model, manifest), manifest.input, images, options.method, options.percentile)


@dataclass(frozen=True)
class Prepared:
    """What is measured once for all mixes of fp16 or bf16 with float32, on the toolkit's calibration images.

    Attributes:
        weights: the fp32 graph, for bf16 with its channels scaled, and weights for it that are bf16 numbers already.
        means: of what its convolutions make.
    """

    weights: RoundedWeights
    means: Mapping[str, NDArray[np.float64]]


def prepare(model: onnx.ModelProto, manifest: Manifest, precision: Precision) -> Prepared:
    """See `Prepared`."""
    port = manifest.input
    crops = [
        centre_crop(image, manifest.sizes.within(Shape(*(min(side, _CROP) for side in image.shape[:2]))))
        for image in calibration_images(sizes=manifest.sizes)
    ]
    frames = [port.from_image(image) for image in crops]
    rounded, free = model, sizeless(model, manifest)
    if precision == "bf16":
        graph = ir.from_proto(model)
        ScaleChannels(channel_factors(free, port, frames))(graph)
        model = ir.to_proto(graph)
        free = sizeless(model, manifest)
        rounded = round_weights(free, port, frames)
    return Prepared(RoundedWeights(model, rounded), output_means(free, port, frames))


def check_request(manifest: Manifest, precision: Precision, options: ConvertOptions) -> None:
    """Raise InputError if it cannot be made, for reasons that are seen without the graph."""
    if manifest.precision != "fp32":
        raise InputError(f"{manifest.name} is {manifest.precision}; only fp32 artifacts can be converted")
    if precision not in BOUNDS:
        raise InputError(f"there is nothing to convert: {manifest.name} is {precision} already")
    options.shared_out([precision])
    if options.percentile != PERCENTILE and options.method != "percentile":
        raise InputError(f"percentile {options.percentile} goes with method percentile, not {options.method}")
    if not 50 < options.percentile <= 100:
        raise InputError(f"percentile {options.percentile} is not between 50 and 100")
    if manifest.shape is not None and manifest.sizes.refusal(Shape(*manifest.shape)):
        raise InputError(
            f"{manifest.name} has a fixed size that is extended inside the graph, where its error cannot be measured",
            "Convert an artifact of even or dynamic size.",
        )


def _lowering(
    prepared: Prepared, manifest: Manifest, precision: Precision, options: ConvertOptions
) -> tuple[ir.Model, LowerPrecision]:
    """The graph in float32, ready for the pass that lowers it, and that pass."""
    target = _TARGETS[precision]
    kept = kept_nodes(prepared.weights.model, options.keep_fp32)
    model = prepared.weights.keeping(kept)
    if precision == "bf16" and manifest.opset < BF16_OPSET:
        model = onnx.version_converter.convert_version(model, BF16_OPSET)
    graph = ir.from_proto(model)
    centre = CentreOutputs(prepared.means, kept, target.numpy())
    centre(graph)
    return graph, LowerPrecision(
        target, lambda node: kept(str(node.name)) or node.name in centre.added or reads_whole_frame(node)
    )


def _measure(converted: onnx.ModelProto, artifact: Artifact, precision: Precision, notes: Sequence[str]) -> list[Check]:
    manifest = artifact.manifest
    truth = numpy_function(source_checkpoint(artifact).network, "float64")
    probes = Probes.of(truth)
    unit = manifest.output.span
    with np.errstate(invalid="ignore", over="ignore"):  # what left the range is seen in the result
        errors = probes.errors(sizeless(converted, manifest), manifest.input, manifest.output)
    remedy = "" if precision == "int8" else "Keep the nodes that lose it in float32: --keep-fp32 (see `toolkit tune`)."
    largest, mean = BOUNDS[precision]
    checks = [Check.of("mean error", precision, float(np.mean([error.mean() for error in errors])), mean * unit)]
    if largest is not None:
        found = float(np.max([error.max() for error in errors]))
        checks.insert(0, Check.of("largest error", precision, found, largest * unit))
    for check in checks:
        if not check.passed:
            message = f"{precision}: the {check.kind} against float64 is {check.measured:.3g}, allowed {check.bound:g}"
            raise CheckFailed(message, "\n".join(filter(None, [*notes, remedy])))
    return checks


def sizeless(model: onnx.ModelProto, manifest: Manifest) -> onnx.ModelProto:
    """A static graph of even size holds no size but in its input and output: without these it takes any."""
    free = copied(model)
    if manifest.shape is not None:
        for end, port in ((free.graph.input[0], manifest.input), (free.graph.output[0], manifest.output)):
            dims = end.type.tensor_type.shape.dim
            for index, name in zip(port.spatial_axes, ("h", "w"), strict=True):
                dims[index].dim_param = f"{end.name}_{name}"
    return free


def _mark(model: onnx.ModelProto, precision: Precision) -> None:
    for item in model.metadata_props:
        if item.key == "rt4ksr.precision":
            item.value = precision


def _conversion(artifact: Artifact, precision: Precision, options: ConvertOptions) -> Conversion:
    calibration = "images of the toolkit, outputs centred where only float32 reads them"
    if precision == "bf16":
        calibration += ", channels scaled, weights rounded together"
    if precision == "int8":
        images = "images of the toolkit" if options.calibration is None else f"images of {options.calibration.name}"
        share = f" {options.percentile}" if options.method == "percentile" else ""
        calibration = f"{images}, {options.method}{share}"
    return Conversion(
        artifact.manifest.onnx_sha256,
        () if precision == "int8" else options.keep_fp32,
        options.exclude,
        calibration,
        options.curve,
        options.curve_cost,
    )
