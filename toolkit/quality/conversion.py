"""`toolkit convert`: converts an artifact to another precision and measures what that loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact
from toolkit.checks import SIMULATED, Verdict, lost
from toolkit.errors import CheckFailed
from toolkit.graph.any_size import sizeless
from toolkit.graph.precision.convert import Converted, Request
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.simulate import simulated
from toolkit.graph.reading import read_model
from toolkit.precisions import Precision
from toolkit.quality.bench import Bench
from toolkit.quality.budget import BUDGETS
from toolkit.system.progress import Progress, ProgressCallback, no_progress


def convert(
    artifact: Artifact,
    precision: Precision,
    options: ConvertOptions | None = None,
    directory: Path | None = None,
    progress: ProgressCallback = no_progress,
    *,
    allow_worse_than_bicubic: bool = False,
    overwrite: bool = False,
) -> Artifact:
    """Convert an artifact to another precision.

    The manifest of the result records its error against float64 and the share of the network's gain over bicubic that
    it loses. That share is measured on the calibration images, simulating hardware with float32 accumulators. It is an
    estimate: `toolkit evaluate` measures it on your images and runtimes.

    Args:
        artifact: fp32.
        precision: fp16, bf16 or int8.
        options: see `ConvertOptions`.
        directory: where the result is written; None: the directory of `artifact`.
        progress: called as each step begins.
        allow_worse_than_bicubic: write the result even if bicubic upscaling is better.
        overwrite: replace an artifact of the same name that has other weights or options.

    Raises:
        InputError: the artifact is not fp32, an option does not apply to the precision, or a node name matches nothing.
        OutputExists: there is such an artifact.
        Unavailable: int8 needs ONNX Runtime for calibration, and it is not installed.
        CheckFailed: the result is worse than bicubic, or its error against float64 exceeds the bound of the precision;
            nothing is written.

    Example:
        >>> artifact = toolkit.Artifact.read("exported/rt4ksr_x2_fp32.onnx")
        >>> toolkit.convert(artifact, "fp16", directory=Path("lower")).manifest.name
        'rt4ksr_x2_fp16'
    """
    request = Request.of(artifact, precision, options or ConvertOptions())
    request.check_output(directory, overwrite=overwrite)
    made = request.converted(progress)
    progress(Progress("measuring the quality"))
    return judged(
        made, calibration=request.options.calibration, allow_worse_than_bicubic=allow_worse_than_bicubic
    ).write(directory)


def judged(
    made: Converted,
    data: Sequence[Path] = (),
    calibration: Path | None = None,
    *,
    allow_worse_than_bicubic: bool = False,
) -> Converted:
    """The same conversion with the verdict on it, measured on image sets or, without any, on calibration images.

    For a network without a gain over bicubic the verdict has no share.

    Raises:
        CheckFailed: the result is worse than bicubic.
    """
    precision = made.manifest.precision
    manifest = msgspec.structs.replace(made.manifest, shape=None)  # the images are smaller than most fixed sizes
    exact = sizeless(read_model(made.parent.path), made.manifest)
    bench = Bench.of(exact, manifest, data, calibration)
    lowered = simulated(sizeless(made.model, made.manifest))
    spent = bench.spent(lowered) if bench.gain > 0 else None
    if spent is not None and not spent.mean <= 1 and not allow_worse_than_bicubic:
        raise CheckFailed(
            f"{made.manifest.name} is worse than bicubic: {precision} {lost(spent.mean)} on {bench.images}; nothing "
            "was written",
            "Keep sensitive nodes in float32 (`toolkit tune`), fine-tune the network for the precision (`toolkit "
            "finetune`), or write the result anyway with --allow-worse-than-bicubic.",
        )
    verdict = Verdict.of(SIMULATED, bench.data, len(bench.pairs), spent, BUDGETS[precision])
    return replace(made, manifest=msgspec.structs.replace(made.manifest, verdicts=(verdict,)))
