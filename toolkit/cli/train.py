"""`toolkit train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from cyclopts import Group, Parameter

from toolkit.cli.console import err, out, print_documents, progress_bar, styled, warn
from toolkit.cli.options import ImageCache, InputFile, Json, OutputDirectory, Resume, TrainingImages, flag
from toolkit.cli.values import split
from toolkit.errors import InputError, suggestion
from toolkit.network.architectures.registry import ARCHITECTURES
from toolkit.quoting import shell
from toolkit.training.config import TrainingConfig, read_config

if TYPE_CHECKING:
    from rich.text import Text

    from toolkit.training.loop import TrainingResult

_INTERRUPTED = 130
_ELSEWHERE = ("data", "network")


def _settings() -> type:
    """A dataclass with a field for every setting of `TrainingConfig`, with its help text; None: not given."""
    hints = get_type_hints(TrainingConfig, include_extras=True)
    fields: list[tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(TrainingConfig):
        if field.name in _ELSEWHERE:
            continue
        kind, *notes = get_args(hints[field.name])
        description = next(note.description for note in notes if note.description)
        is_list = get_origin(kind) is tuple
        if field.default not in ("", None):
            shown = ",".join(map(str, field.default)) if is_list else field.default
            description += f" [default: {shown}]"
        parameter = Parameter(help=description, show_default=False, group=_SETTINGS)
        fields.append((field.name, Annotated[(str if is_list else kind) | None, parameter], None))
    # Cyclopts does not look into classes of Python's own modules, and the default module would be `types`.
    return dataclasses.make_dataclass("Settings", fields, frozen=True, kw_only=True, namespace={"__module__": __name__})


_SETTINGS = Group("Settings", sort_key=1, help="Each can also be set in the file given by --config.")

_Made = _settings()
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
    chosen = read_config(config, _overrides(data, settings), preset=preset, scale=scale)
    from toolkit.training.loop import train as run

    with progress_bar() as progress:
        result = run(chosen, output, resume=resume, cache=cache, progress=progress, note=lambda text: warn((text,)))
    if result.rank == 0:
        if json:
            print_documents([msgspec.to_builtins(result, enc_hook=str)])
        (err if json else out).print(_summary(result), soft_wrap=True)
    if not result.finished:
        raise SystemExit(_INTERRUPTED)


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


def _overrides(data: Path | None, settings: Settings) -> dict[str, object]:
    """The settings given on the command line, by field."""
    given = {name: value for name, value in vars(settings).items() if value is not None}
    if data is not None:
        given["data"] = str(data)
    if "patches" in given:
        given["patches"] = _integers(given["patches"])
    return given


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in split(text)]
    except ValueError:
        raise InputError(f"--patches {text} is not a comma-separated list of sizes") from None


def _summary(result: TrainingResult) -> Text:
    quality = "" if result.psnr_y is None else f", {result.psnr_y:.3f} dB at iteration {result.best_iteration}"
    if result.finished:
        return styled("[bold]{}[/] after {} iterations{}", result.weights, result.iteration, quality)
    command = shell(["toolkit", "train", "--resume", "--output", result.output])
    stopped = "stopped and saved after {} iterations{}\n  continue with: {}"
    return styled(stopped, result.iteration, quality, command)
