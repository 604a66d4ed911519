"""`toolkit finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from toolkit.cli.console import err, out, print_documents, progress_bar, styled, warn
from toolkit.cli.convert import describe
from toolkit.cli.options import (
    AllowWorseThanBicubic,
    ImageCache,
    Json,
    OutputDirectory,
    Overwrite,
    Resume,
    TrainingImages,
    flag,
)
from toolkit.cli.paths import of_kind
from toolkit.cli.settings import given_settings, settings_of
from toolkit.kinds import kind_of
from toolkit.precisions import Precision
from toolkit.system.shutdown import INTERRUPTED
from toolkit.training.lowering.config import FinetuneConfig

if TYPE_CHECKING:
    from toolkit.artifact import Artifact

_ELSEWHERE = (
    "artifact",
    "clip_share",
    "clips",
    "data",
    "init",
    "merge",
    "network",
    "precision",
    "start",
    "target",
    "teacher",
)

_Made = settings_of(FinetuneConfig, _ELSEWHERE)
if TYPE_CHECKING:
    Settings: TypeAlias = Any
else:
    Settings = _Made
_NONE_GIVEN: Settings = _Made()


def finetune(
    source: Annotated[Path, Parameter(validator=of_kind("artifact", "checkpoint"))],
    /,
    *,
    precision: Precision,
    data: TrainingImages,
    output: Annotated[
        OutputDirectory | None,
        Parameter(help="Directory of the run and the artifact. Default: runs/ and the artifact's name.", alias="-o"),
    ] = None,
    resume: Annotated[Resume, flag("Continue the run in the output directory; start it if there is none.")] = False,
    cache: ImageCache = None,
    settings: Annotated[Settings, Parameter(name="*")] = _NONE_GIVEN,
    allow_worse_than_bicubic: AllowWorseThanBicubic = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train the weights of an artifact for int8, bf16 or fp16, and write it in that precision.

    The merged graph is trained with the roundings of the precision, and with its fp32 form as the teacher. It may be of
    any network of convolutions, activations, norms, sums, products and pixel shuffles, adopted ones included. The
    ranges of int8 are learned, too. Ctrl-C stops after the current iteration; --resume continues, with the same result.

    Parameters
    ----------
    source
        The fp32 artifact (.onnx or .json), or a checkpoint, which is exported first.
    precision
        Precision to train for.
    """
    from toolkit.artifact import Artifact

    where = output or Path("runs") / f"{source.stem.removesuffix('_fp32')}_{precision}"
    artifact = Artifact.read(source) if kind_of(source) == "artifact" else _exported(source, where)
    config = FinetuneConfig.of(artifact, precision, given_settings(data, settings))
    from toolkit.training.finetuning import finetune as run

    with progress_bar() as progress:
        made = run(
            config,
            where,
            resume=resume,
            cache=cache,
            overwrite=overwrite,
            allow_worse_than_bicubic=allow_worse_than_bicubic,
            progress=progress,
            note=lambda text: warn((text,)),
        )
    if made.artifact is not None:
        if json:
            print_documents([made.artifact.manifest])
        describe([made.artifact], err if json else out)
    if not made.run.finished:
        stopped = "stopped and saved after {} iterations; the same command with --resume continues"
        (err if json else out).print(styled(stopped, made.run.iteration), soft_wrap=True)
        raise SystemExit(INTERRUPTED)


def _exported(checkpoint: Path, directory: Path) -> Artifact:
    from toolkit.graph.export import export
    from toolkit.network.checkpoint import load_checkpoint

    with progress_bar("export") as progress:
        return export(load_checkpoint(checkpoint), directory=directory, progress=progress)
