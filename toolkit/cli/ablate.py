"""`toolkit ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import toolkit
from toolkit.cli.arguments import split
from toolkit.cli.console import err, out, print_json, progress_bar, styled


def ablate(
    *,
    data: Path,
    images: Annotated[list[Path], Parameter(consume_multiple=True, negative=())],
    presets: str | None = None,
    iterations: int = 1000,
    batch: int = 16,
    patch: int = 48,
    learning_rate: float = 3e-3,
    seed: int = 0,
    scale: int = 2,
    runtime: str = "ort-cpu,openvino",
    duration: float = 3.0,
    threads: int = 0,
    output: Annotated[Path, Parameter(alias="-o")] = Path("runs/ablation"),
    cache: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Train the steps of the paper's progression alike, and set their cost and quality side by side.

    Writes report.json, report.md and report.svg (quality against frame time). Stopped with Ctrl-C, the same command
    goes on where it was.

    Parameters
    ----------
    data
        Directory of photographs to train on.
    images
        Image sets that quality is measured on, as for `toolkit evaluate`.
    presets
        Comma-separated, see `toolkit presets`; default: all steps from baseline to rt4ksr.
    iterations
        Of each training.
    batch
        Patches per iteration.
    patch
        Low-resolution pixels to a side, even.
    learning_rate
        Of SOAP, at its highest; it follows half a cosine.
    seed
        Of weights and batches.
    scale
        That is trained; frame times are measured at both.
    runtime
        Comma-separated: what frame times are measured with.
    duration
        Seconds of measuring per cell.
    threads
        Processor threads; 0: all usable.
    output
        Directory of the ablation.
    cache
        Directory for decoded photographs. Default: the user's cache directory.
    json
        Print report.json.
    """
    config = toolkit.TrainingConfig(
        data=str(data),
        network=toolkit.NetworkConfig(scale=scale),
        patches=(patch,),
        batch=batch,
        iterations=iterations,
        optimizer="soap",  # with which a short training tells more of where a long one would end
        learning_rate=learning_rate,
        beta1=0.95,
        beta2=0.95,
        schedule="cosine",
        seed=seed,
        checkpoint_interval=200,
    )
    chosen = tuple(split(presets)) or tuple(toolkit.STEPS)
    options = toolkit.AblateOptions(chosen, tuple(images), tuple(split(runtime)), duration, threads, cache)
    with progress_bar() as progress:
        report = toolkit.ablate(config, output, options, progress)
    toolkit.write_report(report, output, overwrite=True)  # an ablation may be continued
    if json:
        print_json(report.to_json())
    console = err if json else out
    console.print(report.to_markdown(), soft_wrap=True)
    console.print(styled("[bold]{}[/]: report.json, report.md, report.svg", output), soft_wrap=True)
