"""`toolkit ablate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from toolkit.cli.console import err, out, print_json, progress_bar, styled
from toolkit.cli.options import ImageCache, Images, Json, OutputDirectory, Runtimes, Seconds, Threads, TrainingImages
from toolkit.cli.values import split

if TYPE_CHECKING:
    from toolkit.training.config import TrainingConfig


@Parameter(name="*", group=Group("Training", sort_key=1))
@dataclass(frozen=True, kw_only=True)
class Training:
    """How every network of the ablation is trained."""

    iterations: Annotated[int, Parameter(help="Iterations of each training run.")] = 1000
    batch: Annotated[int, Parameter(help="Patches per iteration.")] = 16
    patch: Annotated[int, Parameter(help="Side of a low-resolution patch in pixels, even.")] = 48
    learning_rate: Annotated[float, Parameter(help="Highest learning rate of SOAP, reduced along half a cosine.")] = (
        3e-3
    )
    seed: Annotated[int, Parameter(help="Seed of weights and batches.")] = 0
    scale: Annotated[int, Parameter(help="Upscaling factor that is trained. Speed is measured at x2 and x3.")] = 2

    def config(self, data: Path) -> TrainingConfig:
        """The configuration that all runs share."""
        from toolkit.network.architectures.registry import DEFAULT, PRESETS
        from toolkit.training.config import TrainingConfig

        return TrainingConfig(
            data=str(data),
            network=replace(PRESETS[DEFAULT.default], scale=self.scale),
            patches=(self.patch,),
            batch=self.batch,
            iterations=self.iterations,
            optimizer="soap",  # a short run with it predicts the result of a long one better than with Adam
            learning_rate=self.learning_rate,
            beta1=0.95,
            beta2=0.95,
            schedule="cosine",
            seed=self.seed,
            checkpoint_interval=200,
        )


_TRAINING = Training()


def ablate(
    *,
    data: TrainingImages,
    images: Images,
    preset: str | None = None,
    training: Training = _TRAINING,
    runtime: Runtimes = "ort-cpu,openvino",
    duration: Seconds = 3.0,
    threads: Threads = 0,
    output: OutputDirectory = Path("runs/ablation"),
    cache: ImageCache = None,
    json: Json = False,
) -> None:
    """Train the steps of the paper's progression and compare their cost and quality.

    All networks are trained with the same settings. Writes report.json, report.md and report.svg (quality against
    frame time). After Ctrl-C the same command continues where it stopped.

    Parameters
    ----------
    preset
        Comma-separated networks; see `toolkit presets`. Default: all steps from baseline to rt4ksr.
    """
    from toolkit.ablation.ablation import AblateOptions
    from toolkit.ablation.ablation import ablate as run
    from toolkit.ablation.report import write_report
    from toolkit.network.architectures.registry import DEFAULT

    presets = tuple(split(preset)) or DEFAULT.steps
    options = AblateOptions(presets, tuple(images), tuple(split(runtime)), duration, threads, cache)
    with progress_bar() as progress:
        report = run(training.config(data), output, options, progress)
    write_report(report, output, overwrite=True)  # a continued ablation replaces its own earlier report
    if json:
        print_json(report.to_json())
    console = err if json else out
    console.print(report.to_markdown(), soft_wrap=True)
    console.print(styled("[bold]{}[/]: report.json, report.md, report.svg", output), soft_wrap=True)
