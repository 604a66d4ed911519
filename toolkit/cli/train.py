"""`toolkit train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
from cyclopts import Parameter

from toolkit.cli.console import err, out, print_documents, progress_bar, styled, warn
from toolkit.cli.options import ImageCache, InputFile, Json, OutputDirectory, Resume, TrainingImages, flag
from toolkit.cli.settings import given_settings, settings_of
from toolkit.errors import InputError, suggestion
from toolkit.network.architectures.registry import ARCHITECTURES
from toolkit.quoting import shell
from toolkit.system.shutdown import INTERRUPTED
from toolkit.training.config import TrainingConfig, read_config

if TYPE_CHECKING:
    from rich.text import Text

    from toolkit.training.loop import TrainingResult

_ELSEWHERE = ("data", "network")


_Made = settings_of(TrainingConfig, _ELSEWHERE, "Each can also be set in the file given by --config.")
if TYPE_CHECKING:
    Settings: TypeAlias = Any
else:
    Settings = _Made
_NONE_GIVEN: Settings = _Made()


def train(
    *,
    config: InputFile | None = None,
    data: TrainingImages | None = None,
    architecture: str | None = None,
    preset: str | None = None,
    scale: int | None = None,
    output: Annotated[
        OutputDirectory | None,
        Parameter(
            help="Directory of the run. Default: runs/ and the name of the --config file, or PRESET_xSCALE.", alias="-o"
        ),
    ] = None,
    resume: Annotated[
        Resume, flag("Continue the run in the output directory with its settings; start it if there is none.")
    ] = False,
    cache: ImageCache = None,
    settings: Annotated[Settings, Parameter(name="*")] = _NONE_GIVEN,
    json: Json = False,
) -> None:
    """Train a network on a directory of photographs.

    Low-resolution patches are created on the fly. Ctrl-C stops after the current iteration; --resume continues the run,
    with the same result as without the interruption. For several GPUs or machines, start it with
    `torchrun --nproc-per-node N --no-python toolkit train ...`.

    Parameters
    ----------
    config
        TOML file of settings, with `preset`, `scale`, or a table `network`. Options on the command line override it.
    architecture
        Architecture to train, in the size that its authors published: rt4ksr, compact or span.
    preset
        Network to train, of any size and architecture; see `toolkit presets`. Default: rt4ksr.
    scale
        Upscaling factor. Default: 2.
    """
    preset = _preset(architecture, preset)
    output = output or Path("runs") / (config.stem if config else f"{preset or 'rt4ksr'}_x{scale or 2}")
    before = output / "config.toml"
    if resume and config is None and before.is_file():
        config = before
    chosen = read_config(config, given_settings(data, settings), preset=preset, scale=scale)
    from toolkit.training.loop import train as run

    with progress_bar() as progress:
        result = run(chosen, output, resume=resume, cache=cache, progress=progress, note=lambda text: warn((text,)))
    if result.rank == 0:
        if json:
            print_documents([msgspec.to_builtins(result, enc_hook=str)])
        (err if json else out).print(_summary(result), soft_wrap=True)
    if not result.finished:
        raise SystemExit(INTERRUPTED)


def _preset(architecture: str | None, preset: str | None) -> str | None:
    """The name of the preset that both options choose."""
    if architecture is None:
        return preset
    if architecture not in ARCHITECTURES:
        raise InputError(f"there is no architecture {architecture!r}", suggestion(architecture, ARCHITECTURES))
    presets = ARCHITECTURES[architecture].presets
    if preset is not None and preset not in presets:
        raise InputError(f"{preset} is no preset of {architecture}", f"Choose from {', '.join(presets)}.")
    return preset or ARCHITECTURES[architecture].default


def _summary(result: TrainingResult) -> Text:
    quality = "" if result.psnr_y is None else f", {result.psnr_y:.3f} dB at iteration {result.best_iteration}"
    if result.finished:
        return styled("[bold]{}[/] after {} iterations{}", result.weights, result.iteration, quality)
    command = shell(["toolkit", "train", "--resume", "--output", result.output])
    stopped = "stopped and saved after {} iterations{}\n  continue with: {}"
    return styled(stopped, result.iteration, quality, command)
