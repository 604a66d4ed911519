"""Options that several commands share: one type for each, with its help text and the check of its value.

An option has the same meaning in every command. A command that has more to say about one gives its own help text:
`Annotated[Overwrite, Parameter(help="...")]`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Group, Parameter

from toolkit.cli.paths import (
    Validator,
    artifact_directory,
    each,
    existing_directory,
    existing_file,
    existing_images,
    of_kind,
    output_directory,
    output_file,
    subject_of_kind,
)
from toolkit.cli.values import assignments
from toolkit.errors import InputError

if TYPE_CHECKING:
    from toolkit.network.checkpoint import Checkpoint

CHECKPOINT_PANEL = Group("Checkpoint", sort_key=1)
CALIBRATION_PANEL = Group("Calibration (int8)", sort_key=2)


def flag(text: str) -> Parameter:
    """A switch that is off unless it is given."""
    return Parameter(help=text, negative=(), show_default=False)


def _file(text: str, check: Validator, *, stdout: bool = False) -> Parameter:
    return Parameter(help=text, validator=check, allow_leading_hyphen=stdout)


def _several(text: str, check: Validator) -> Parameter:
    """One value each time it is given: an option that takes all that follows would take the arguments too."""
    return Parameter(help=f"{text} Can be repeated.", validator=check, negative=())


# Input

InputFile: TypeAlias = Annotated[Path, Parameter(validator=each(existing_file))]
CheckpointPath: TypeAlias = Annotated[Path, Parameter(validator=of_kind("checkpoint"))]
ArtifactPath: TypeAlias = Annotated[Path, Parameter(validator=of_kind("artifact"))]
NetworkText: TypeAlias = Annotated[str, Parameter(validator=subject_of_kind("artifact", "engine"))]
"""PATH or PATH@RUNTIME."""
NetworkPath: TypeAlias = Annotated[Path, Parameter(validator=of_kind("artifact", "engine"))]
SourcePath: TypeAlias = Annotated[Path, Parameter(validator=of_kind("checkpoint", "artifact", "graph"))]
SubjectText: TypeAlias = Annotated[str, Parameter(validator=subject_of_kind("checkpoint", "artifact", "engine"))]
"""PATH or PATH@RUNTIME."""
Images: TypeAlias = Annotated[
    list[Path], _several("Directory of images to measure on, searched recursively.", each(existing_images))
]
Videos: TypeAlias = Annotated[
    list[Path], _several("Reference video, or directory of photographs that become clips.", each(existing_images))
]
ImageDirectory: TypeAlias = Annotated[
    Path | None,
    _file(
        "Directory of images to use as inputs, searched recursively. Default: images that ship with the toolkit.",
        each(existing_images),
    ),
]
TrainingImages: TypeAlias = Annotated[
    Path, _file("Directory of photographs to train on, searched recursively.", each(existing_directory))
]
ArtifactDirectory: TypeAlias = Annotated[
    Path, _file("Directory in which artifacts are looked up.", each(artifact_directory))
]
BudgetFile: TypeAlias = Annotated[
    Path | None,
    _file(
        "TOML file of quality budgets. Default: validation/budgets.toml if it exists, otherwise built-in budgets.",
        each(existing_file),
    ),
]
Preset: TypeAlias = Annotated[
    str | None,
    Parameter(
        help="Use an UNTRAINED network from the paper's design space instead. See `toolkit presets`.",
    ),
]

Licence: TypeAlias = Annotated[
    str | None,
    Parameter(
        help="Licence of the weights, for example its SPDX identifier. It is kept in the manifest. Default: that of "
        "weights that the toolkit knows."
    ),
]

# Output

OutputDirectory: TypeAlias = Annotated[
    Path, Parameter(help="Directory to write to.", alias="-o", validator=each(output_directory))
]
BesideArtifact: TypeAlias = Annotated[
    Path | None,
    Parameter(
        help="Directory to write to. Default: the directory of the artifact.",
        alias="-o",
        validator=each(output_directory),
    ),
]
Html: TypeAlias = Annotated[Path | None, _file("Write a self-contained HTML page.", output_file(".html", ".htm"))]
Markdown: TypeAlias = Annotated[
    Path | None, _file("Write Markdown tables. `-`: to standard output.", output_file(".md", stdout=True), stdout=True)
]
Plot: TypeAlias = Annotated[Path | None, _file("Write a plot (.png, .svg or .pdf).", output_file())]
Script: TypeAlias = Annotated[
    Path | None,
    _file(
        "Write an equivalent Python script that does not need the toolkit, and do nothing else. `-`: to standard "
        "output.",
        output_file(".py", stdout=True),
        stdout=True,
    ),
]
Overwrite: TypeAlias = Annotated[bool, flag("Replace existing output files.")]
Json: TypeAlias = Annotated[
    bool, flag("Print one JSON document on standard output; tables and messages go to standard error.")
]
Csv: TypeAlias = Annotated[bool, flag("Print comma-separated values on standard output.")]

# Execution

Threads: TypeAlias = Annotated[int, Parameter(help="CPU threads of the runtime. 0: all usable CPUs.")]
Runtimes: TypeAlias = Annotated[str, Parameter(help="Comma-separated inference runtimes. See `toolkit doctor`.")]
Precisions: TypeAlias = Annotated[str, Parameter(help="Comma-separated precisions: fp32, fp16, bf16, int8.")]
Seconds: TypeAlias = Annotated[float, Parameter(help="Seconds of measurement per configuration.")]
Resume: TypeAlias = Annotated[bool, flag("Continue an interrupted run.")]
WithinBudget: TypeAlias = Annotated[
    bool, flag("Exit with code 1 unless the quality of every lower precision is within its budget.")
]
AllowWorseThanBicubic: TypeAlias = Annotated[
    bool, flag("Write an artifact even if its quality is below that of bicubic interpolation.")
]
ImageCache: TypeAlias = Annotated[
    Path | None,
    Parameter(
        help="Directory for decoded photographs, 3 bytes per pixel. Default: the user's cache directory.",
        validator=each(output_directory),
    ),
]


@Parameter(name="*", group=CHECKPOINT_PANEL)
@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """How a checkpoint is read, or which network is used without one."""

    high_frequency: Annotated[
        Literal["auto", "on", "off"],
        Parameter(help="Whether the network's high-frequency branch is used. auto: decide from the weights."),
    ] = "auto"
    scale: Annotated[
        int | None,
        Parameter(
            help="Upscaling factor. A checkpoint of another scale is refused; required for RT4KSR checkpoints of other "
            "scales than 2 and 3."
        ),
    ] = None
    entry: Annotated[
        str | None, Parameter(help="Set of weights to load from a file with several, for example params_ema.")
    ] = None
    architecture: Annotated[
        str | None, Parameter(help="Architecture of weights that fit several: rt4ksr, compact or span.")
    ] = None
    assume: Annotated[
        list[str] | None,
        Parameter(
            help="NAME=VALUE: a hyper-parameter that the weights do not show, for example image_range=1 of SPAN or "
            "slope=0.1 of Compact. Can be repeated. Default: as the file says, otherwise measured on a test picture.",
            negative=(),
        ),
    ] = None
    weights: Annotated[
        Literal["clean", "video", "int"] | None,
        Parameter(
            help="Which of the toolkit's own weights to use: clean; video, for what a codec has left; int, for int8."
        ),
    ] = None
    preset: Preset = None

    def check(self, path: Path | None) -> None:
        """Refuse options that exclude each other.

        Args:
            path: of a checkpoint or artifact, if one was given.

        Raises:
            InputError: two networks were named.
        """
        named = {"--preset": self.preset, "--weights": self.weights}
        given = [name for name, value in named.items() if value is not None]
        if path is not None and given:
            raise InputError(
                f"{given[0]} cannot be combined with a checkpoint or artifact", "Its network is known from its weights."
            )
        if len(given) > 1:
            raise InputError("--preset and --weights cannot be combined", "Untrained networks have random weights.")

    @property
    def reads_file(self) -> bool:
        """Whether there are options that say how a file is read."""
        return self != replace(CheckpointOptions(), scale=self.scale, preset=self.preset, weights=self.weights)

    def load(self, path: Path) -> Checkpoint:
        """The checkpoint in a file, read as the options say."""
        from toolkit.network.checkpoint import load_checkpoint

        return load_checkpoint(
            path,
            high_frequency=self.high_frequency,
            scale=self.scale,
            entry=self.entry,
            architecture=self.architecture,
            assume=assignments(self.assume or [], "--assume"),
        )


@Parameter(name="*", group=CALIBRATION_PANEL)
@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How int8 value ranges are measured."""

    calibration: Annotated[
        Path | None,
        _file("Directory of calibration images. Default: images that ship with the toolkit.", each(existing_images)),
    ] = None
    method: Annotated[
        Literal["error", "percentile", "entropy", "minmax"],
        Parameter(help="How a range is chosen: by the error of what convolutions compute, or from the values alone."),
    ] = "error"
    percentile: Annotated[
        float, Parameter(help="Percentile of magnitudes for --method percentile, above 50 and up to 100.")
    ] = 99.99
