"""`toolkit finetune`: trains the weights of an artifact for a lower precision, and writes it in that precision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from toolkit.artifact import Artifact
from toolkit.conversion import Finetuned
from toolkit.graph.precision.convert import Request
from toolkit.quality.conversion import judged
from toolkit.system.progress import Progress, ProgressCallback, no_progress
from toolkit.training.loop import Note, TrainingResult, train
from toolkit.training.lowering.config import FinetuneConfig, GraphConfiguration
from toolkit.training.lowering.trainee import GraphTrainee, finetuning_options
from toolkit.training.trainees import trainee_of


@dataclass(frozen=True)
class Finetuning:
    """How a fine-tuning ended.

    Attributes:
        run: the training.
        artifact: in the lower precision; None: the training was stopped before its end.
    """

    run: TrainingResult
    artifact: Artifact | None


def finetune(
    config: FinetuneConfig,
    output: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    overwrite: bool = False,
    allow_worse_than_bicubic: bool = False,
    progress: ProgressCallback = no_progress,
    note: Note = lambda _text: None,
) -> Finetuning:
    """Train the weights of an fp32 artifact for a lower precision, whose roundings are simulated, and convert it.

    The graph itself is trained, its blocks merged: merging after training would round other weights than were trained.
    Its fp32 form is the teacher. The run is one of `train`: seeds, resuming, the log and TensorBoard are the same.

    Args:
        config: what to do.
        output: directory of the run and of the artifact.
        resume: continue the run in `output`; where there is none, start one.
        cache: directory for decoded photographs; default: the user's cache directory.
        overwrite: replace an artifact in `output` that was made with other settings.
        allow_worse_than_bicubic: write the artifact even if bicubic upscaling is better.
        progress: called in every iteration.
        note: called with what a user should know.

    Raises:
        InputError: the graph has operators without a differentiable form, or as `train` and `convert`.

    Example:
        >>> from toolkit.training.lowering.config import FinetuneConfig
        >>> config = FinetuneConfig(data="photos", artifact="exported/rt4ksr_x2_fp32.onnx", target="int8")
        >>> toolkit.finetune(config, Path("runs/int8")).artifact  # doctest: +SKIP
    """
    artifact = Artifact.read(config.artifact)
    config = msgspec.structs.replace(config, network=GraphConfiguration.of(artifact.manifest))
    request = Request.of(artifact, config.target, finetuning_options(config))
    request.check_output(output, overwrite=overwrite or resume)
    run = train(config, output, resume=resume, cache=cache, progress=progress, note=note)
    if not run.finished or run.rank:
        return Finetuning(run, None)
    progress(Progress("converting"))
    trainee = trainee_of(config)  # that of the run, which has measured the ranges
    assert isinstance(trainee, GraphTrainee)  # noqa: S101  (by the type of the configuration)
    rewritten = trainee.trained(run.weights)
    trained = Finetuned(
        Path(config.data).name,
        run.photos,
        config.iterations,
        config.batch,
        config.learning_rate,
        config.seed,
        config.range_margin,
    )
    made = request.described(rewritten, msgspec.structs.replace(request.record, finetuned=trained), progress)
    progress(Progress("measuring the quality"))
    data = [Path(config.validation)] if config.validation else []
    return Finetuning(run, judged(made, data, allow_worse_than_bicubic=allow_worse_than_bicubic).write(output))
