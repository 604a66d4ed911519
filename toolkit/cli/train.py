"""`toolkit train`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from cyclopts import Group, Parameter
from rich.text import Text

import toolkit
from toolkit.cli.arguments import split
from toolkit.cli.console import err, out, print_documents, progress_bar, styled, warn
from toolkit.quoting import shell

_INTERRUPTED = 130
_ELSEWHERE = ("data", "network")


def _settings() -> type:
    """A field for every setting of `TrainingConfig`, with its help and default; None where it is not given."""
    hints = get_type_hints(toolkit.TrainingConfig, include_extras=True)
    fields: list[tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(toolkit.TrainingConfig):
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
    # Classes that seem to be Python's own (module `types`) cyclopts does not look into.
    return dataclasses.make_dataclass("Settings", fields, frozen=True, kw_only=True, namespace={"__module__": __name__})


_SETTINGS = Group("Settings", sort_key=1, help="Each can also stand in the file that --config names.")

_Made = _settings()
if TYPE_CHECKING:
    Settings: TypeAlias = Any
else:
    Settings = _Made
_NONE_GIVEN: Settings = _Made()


def train(
    *,
    config: Path | None = None,
    data: Path | None = None,
    preset: str | None = None,
    scale: int | None = None,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
    cache: Path | None = None,
    settings: Annotated[Settings, Parameter(name="*")] = _NONE_GIVEN,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Train a network on a folder of photographs.

    Low-resolution patches are made on the way. Ctrl-C stops after the current iteration; with --resume the run goes on,
    with the same result as if it had not been stopped. For several GPUs or machines, start it with
    `torchrun --nproc-per-node N --no-python toolkit train ...`.

    Parameters
    ----------
    config
        TOML file of settings, with `preset`, `scale`, or a table `network`; the command line wins.
    data
        Directory of photographs to train on, searched recursively.
    preset
        Network; see `toolkit presets`. Default: rt4ksr.
    scale
        2 or 3, or any other. Default: 2.
    output
        Directory of the run. Default: runs/, and the name of the --config file or PRESET_xSCALE.
    resume
        Go on where the run in the output directory was left, with its settings; begin it where there is none.
    cache
        Directory for decoded photographs, 3 bytes a pixel. Default: the user's cache directory.
    json
        Print one JSON document.
    """
    output = output or Path("runs") / (config.stem if config else f"{preset or 'rt4ksr'}_x{scale or 2}")
    before = output / "config.toml"
    if resume and config is None and before.is_file():
        config = before
    chosen = toolkit.read_config(config, _overrides(data, settings), preset=preset, scale=scale)
    with progress_bar() as progress:
        result = toolkit.train(
            chosen, output, resume=resume, cache=cache, progress=progress, note=lambda text: warn((text,))
        )
    if result.rank == 0:
        if json:
            print_documents([msgspec.to_builtins(result, enc_hook=str)])
        (err if json else out).print(_summary(result), soft_wrap=True)
    if not result.finished:
        raise SystemExit(_INTERRUPTED)


def _overrides(data: Path | None, settings: Settings) -> dict[str, object]:
    """What the command line says, by field."""
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
        raise toolkit.InputError(f"--patches {text} is not a comma-separated list of sizes") from None


def _summary(result: toolkit.TrainingResult) -> Text:
    quality = "" if result.psnr_y is None else f", {result.psnr_y:.3f} dB at iteration {result.best_iteration}"
    if result.finished:
        return styled("[bold]{}[/] after {} iterations{}", result.weights, result.iteration, quality)
    command = shell(["toolkit", "train", "--resume", "--output", result.output])
    stopped = "stopped and saved after {} iterations{}\n  go on with: {}"
    return styled(stopped, result.iteration, quality, command)
