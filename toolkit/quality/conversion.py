"""`toolkit convert`: an artifact in another precision, and what that costs of its gain over bicubic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact, Precision
from toolkit.checks import SIMULATED, Verdict, lost
from toolkit.errors import CheckFailed
from toolkit.graph.precision.convert import Converted, ConvertOptions, check_output, converted, sizeless
from toolkit.graph.precision.simulate import simulated
from toolkit.graph.reading import read_model
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
    """Write `artifact` in another precision, beside it unless told otherwise.

    Its error against float64, and the share of the network's gain over bicubic that it loses, go into the manifest. The
    share is measured on the calibration images, as hardware with float32 accumulators computes it. It is a first
    answer: `toolkit evaluate` gives the one for your images and runtimes.

    Args:
        artifact: fp32.
        precision: fp16, bf16 or int8.
        options: see `ConvertOptions`.
        directory: where it is written; None: beside `artifact`.
        progress: called as each step begins.
        allow_worse_than_bicubic: write it even if bicubic upscaling is better.
        overwrite: replace an artifact of the same name that was made from other weights or with other options.

    Raises:
        InputError: the artifact is not fp32, an option does not fit the precision, or a name fits no node.
        OutputExists: there is such an artifact.
        Unavailable: int8 without ONNX Runtime, whose calibrators are used.
        CheckFailed: it is worse than bicubic, or its error against float64 is beyond what this precision should cost;
            nothing is written.
    """
    options = options or ConvertOptions()
    check_output(artifact, precision, options, directory, overwrite=overwrite)
    made = converted(artifact, precision, options, progress)
    progress(Progress("measuring the quality"))
    verdict = _judged(made, precision, options.calibration)
    if verdict.spent is not None and not verdict.spent.mean <= 1 and not allow_worse_than_bicubic:
        raise CheckFailed(
            f"{made.manifest.name} is worse than bicubic: {precision} {lost(verdict.spent.mean)} on {verdict.images} "
            f"images of {verdict.data}; nothing was written",
            "Keep sensitive nodes in float32 (`toolkit tune`), or keep the result as it is with "
            "--allow-worse-than-bicubic.",
        )
    return replace(made, manifest=msgspec.structs.replace(made.manifest, verdicts=(verdict,))).write(directory)


def _judged(made: Converted, precision: Precision, calibration: Path | None) -> Verdict:
    """What a conversion costs. A network without a gain has nothing to lose: its verdict has no share."""
    manifest = msgspec.structs.replace(made.manifest, shape=None)  # the images are smaller than most fixed sizes
    exact = sizeless(read_model(made.parent.path), made.manifest)
    bench = Bench.of(exact, manifest, (), calibration)
    lowered = simulated(sizeless(made.model, made.manifest))
    spent = bench.spent(lowered) if bench.gain > 0 else None
    return Verdict.of(SIMULATED, bench.data, len(bench.pairs), spent, BUDGETS[precision])
