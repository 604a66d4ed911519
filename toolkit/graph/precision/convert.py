"""An fp32 artifact in another precision: rewrite the graph, measure it against float64, write it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import onnx

from toolkit.artifact import Artifact, Manifest, check_replaceable
from toolkit.checks import Check
from toolkit.conversion import Conversion
from toolkit.errors import CheckFailed, InputError
from toolkit.graph.analysis.numerics import Probes, probe_sizes
from toolkit.graph.any_size import sizeless
from toolkit.graph.precision.base import Rewritten, TargetPrecision
from toolkit.graph.precision.options import DEFAULTS, PERCENTILE, ConvertOptions
from toolkit.graph.precision.registry import find_target, split_options
from toolkit.graph.precision.shipped import shipped_conversion
from toolkit.graph.reading import read_model
from toolkit.graph.source import exact_source
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.system.atomic import sha256_of
from toolkit.system.foreign import foreign
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.workloads import Shape


def convert(
    artifact: Artifact,
    precision: Precision,
    options: ConvertOptions = DEFAULTS,
    directory: Path | None = None,
    progress: ProgressCallback = no_progress,
    *,
    overwrite: bool = False,
) -> Artifact:
    """Write `artifact` in another precision, by default beside it.

    Its quality is not measured here: `toolkit.convert` does that too.

    Raises:
        As the methods of `Request`; nothing is written then.
    """
    request = Request.of(artifact, precision, options)
    request.check_output(directory, overwrite=overwrite)
    return request.converted(progress).write(directory)


@dataclass(frozen=True)
class Converted:
    """An artifact in another precision that is not on disk yet.

    Attributes:
        parent: the fp32 artifact.
        model: the graph.
        content: its bytes.
        manifest: of the new artifact.
    """

    parent: Artifact
    model: onnx.ModelProto
    content: bytes
    manifest: Manifest

    def write(self, directory: Path | None = None) -> Artifact:
        """Write it, by default beside its parent."""
        weights = None if self.parent.weights_path is None else self.parent.read_weights().read_bytes()
        return Artifact.write(directory or self.parent.path.parent, self.content, self.manifest, weights)


@dataclass(frozen=True)
class Request:
    """A conversion whose options were checked: everything that can be refused without reading the graph was not.

    Attributes:
        artifact: fp32.
        precision: the target.
        options: those that apply to the target.
    """

    artifact: Artifact
    precision: TargetPrecision
    options: ConvertOptions

    @classmethod
    def of(cls, artifact: Artifact, precision: Precision, options: ConvertOptions) -> Request:
        """Check a request.

        Raises:
            InputError: the artifact is not fp32 or has a fixed odd size, or an option does not fit the precision.
        """
        manifest = artifact.manifest
        if manifest.lowered:
            raise InputError(f"{manifest.name} is {manifest.precision}; only fp32 artifacts can be converted")
        target = find_target(precision)
        fitting = split_options(options, [precision])[precision]
        _check_percentile(options)
        if manifest.shape is not None and manifest.sizes.refusal(Shape(*manifest.shape)):
            raise InputError(
                f"{manifest.name} has a fixed size that is extended inside the graph, where its error cannot be "
                "measured",
                "Convert an artifact of even or dynamic size.",
            )
        if manifest.shape is not None and manifest.source.weights is None:
            raise InputError(
                f"{manifest.name} only runs at {Shape(*manifest.shape)}: its error cannot be measured on images",
                "Export the network with dynamic height and width, and adopt that.",
            )
        return cls(artifact, target, fitting)

    def check_output(self, directory: Path | None, *, overwrite: bool) -> None:
        """Check before any work whether the result would replace another artifact.

        Raises:
            OutputExists: there is one of its name, from other weights or with other options.
        """
        check_replaceable(
            directory or self.artifact.path.parent,
            self.name,
            lambda known: known.conversion == self.record,
            overwrite=overwrite,
        )

    @property
    def name(self) -> str:
        """Of the new artifact."""
        # The stem may hold the name of a precision too, as that of a file from elsewhere.
        stem, _, variant = self.artifact.manifest.name.rpartition(f"_{FULL_PRECISION}")
        return f"{stem}_{self.precision.name}{self.options.suffix}{variant}"

    @cached_property
    def shipped(self) -> Artifact | None:
        """The fine-tuned conversion that ships with the toolkit, which is taken where no option asks for another."""
        plain = split_options(DEFAULTS, [self.precision.name])[self.precision.name]
        return shipped_conversion(self.artifact, self.name) if self.options == plain else None

    @property
    def record(self) -> Conversion:
        """For the manifest: how the new artifact is made."""
        options = self.options
        if self.shipped is not None and self.shipped.manifest.conversion is not None:
            return self.shipped.manifest.conversion
        return Conversion(
            self.artifact.manifest.onnx_sha256,
            options.keep_fp32,
            options.exclude,
            self.precision.calibration(options),
            options.curve,
            options.curve_cost,
        )

    def converted(self, progress: ProgressCallback = no_progress) -> Converted:
        """Make it, and measure it against float64; see `described`.

        Raises:
            InputError: a name fits no node of the graph.
            Unavailable: int8 without ONNX Runtime, whose calibrators are used.
            CheckFailed: the error is beyond the bounds of the precision.
        """
        manifest, target = self.artifact.manifest, self.precision
        if self.shipped is not None:
            content = self.shipped.path.read_bytes()
            return Converted(self.artifact, read_model(self.shipped.path), content, self.shipped.manifest)
        progress(Progress(f"converting to {target.name}"))
        model = read_model(self.artifact.path)
        with foreign(f"{self.artifact.path} cannot be converted to {target.name}"):
            made = target.prepare(model, manifest, self.options).rewrite(self.options)
        return self.described(made, self.record, progress)

    def described(self, made: Rewritten, record: Conversion, progress: ProgressCallback = no_progress) -> Converted:
        """What was made from the artifact, measured against float64, with its manifest.

        Input and output keep their types. The error goes into the manifest. It is measured with ONNX's reference
        implementation, which computes in the precision it is given; ONNX Runtime on a CPU computes fp16 in fp32.

        Args:
            made: the graph.
            record: for the manifest: how it was made.
            progress: called as measuring begins.

        Raises:
            CheckFailed: the error is beyond the bounds of the precision.
        """
        manifest, target = self.artifact.manifest, self.precision
        progress(Progress("measuring the error"))
        with foreign(f"{self.artifact.path} as {target.name} cannot be run"):
            checks = self._measure(made.model, made.notes)
        content = made.model.SerializeToString(deterministic=True)
        described = msgspec.structs.replace(
            manifest,
            name=self.name,
            precision=target.name,
            opset=max(manifest.opset, target.opset),
            onnx_sha256=sha256_of(content),
            onnx_bytes=len(content),
            steps=(*manifest.steps, made.step),
            checks=(*manifest.checks, *checks),
            verdicts=(),
            notes=(*manifest.notes, *made.notes),
            conversion=record,
        )
        return Converted(self.artifact, made.model, content, described)

    def _measure(self, lowered: onnx.ModelProto, notes: Sequence[str]) -> list[Check]:
        manifest, precision = self.artifact.manifest, self.precision
        probes = Probes.of(exact_source(self.artifact), probe_sizes(manifest.sizes))
        unit = probes.reach(manifest.output)
        errors = probes.errors(sizeless(lowered, manifest), manifest.input, manifest.output)
        bounds, checks = precision.bounds, []
        if bounds.largest is not None:
            found = float(np.max([error.max() for error in errors]))
            checks.append(Check.of("largest error", precision.name, found, bounds.largest * unit))
        mean = float(np.mean([error.mean() for error in errors]))
        checks.append(Check.of("mean error", precision.name, mean, bounds.mean * unit))
        if failed := next((check for check in checks if not check.passed), None):
            measured = f"{failed.measured:.3g}, allowed {failed.bound:g}"
            remedy = "\n".join(filter(None, [*notes, precision.remedy]))
            raise CheckFailed(f"{precision.name}: the {failed.kind} against float64 is {measured}", remedy)
        return checks


def _check_percentile(options: ConvertOptions) -> None:
    if options.percentile != PERCENTILE and options.method != "percentile":
        raise InputError(f"percentile {options.percentile} goes with method percentile, not {options.method}")
    if not 50 < options.percentile <= 100:
        raise InputError(f"percentile {options.percentile} is not between 50 and 100")
