"""The configuration of a training run, from a file and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from msgspec import Meta

from toolkit.errors import InputError
from toolkit.network.architectures.configuration import Configuration, configured, may_be_none
from toolkit.network.architectures.registry import ARCHITECTURES, DEFAULT, PRESETS, architecture_of
from toolkit.quoting import toml_value
from toolkit.system.documents import MalformedDocument, from_json, read_toml

Loss = Literal["l1", "charbonnier", "l2"]
Schedule = Literal["step", "cosine"]
TrainingPrecision = Literal["auto", "fp32", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda"]
Start = Literal["fitted", "random"]
OptimizerName = Literal["adam", "soap"]

Size = Annotated[int, Meta(ge=2, le=4096)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Positive = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Weight = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Rate = Annotated[float, Meta(gt=0)]


_PATHS = ("data", "validation", "teacher", "init")


class TrainingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a run's result depends on, and the hardware settings. The descriptions are the command line's
    help.

    Example:
        >>> toolkit.TrainingConfig(data="photos", iterations=1000).batch
        64
    """

    data: Annotated[str, Meta(description="Directory of photographs to train on, searched recursively.")]
    validation: Annotated[
        str, Meta(description="Images to validate on: originals, or pairs in HR and LR. Default: none.")
    ] = ""
    teacher: Annotated[
        str, Meta(description="Checkpoint whose output the network also learns to reproduce. Default: none.")
    ] = ""
    init: Annotated[str, Meta(description="Checkpoint to start from instead of random weights.")] = ""
    start: Annotated[
        Start,
        Meta(
            description="fitted: weights that pass the pixels through, the last layer fitted to photographs; random: "
            "PyTorch's initialisation."
        ),
    ] = "fitted"
    network: Configuration = PRESETS[DEFAULT.default]

    loss: Annotated[
        Loss,
        Meta(description="Loss of the image: mean of |d|, sqrt(d² + 1e-6), or d² (l2: highest PSNR)."),
    ] = "l1"
    high_frequency_weight: Annotated[
        Weight, Meta(description="Weight of the L1 loss of high frequencies: image minus Gaussian blur (5x5, sigma 1).")
    ] = 1.0
    teacher_weight: Annotated[Weight, Meta(description="Weight of the loss against the teacher's output.")] = 1.0
    teacher_loss: Annotated[
        Loss,
        Meta(description="Loss against the teacher's output: as --loss. l2 counts the few large errors most."),
    ] = "l1"

    patches: Annotated[
        tuple[Size, ...], Meta(description="Low-resolution patch sizes in pixels, even; each batch uses one of them.")
    ] = (64, 96, 128)
    batch: Annotated[Positive, Meta(description="Patches per iteration, over all processes.")] = 64
    jpeg_quality: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None,
        Meta(description="JPEG quality of low-resolution images (NTIRE 2023: 90). Default: no compression."),
    ] = None

    clips: Annotated[
        Count,
        Meta(description="Number of clips made from the photographs, encoded and decoded with video codecs; 0: none."),
    ] = 0
    clip_share: Annotated[
        Annotated[float, Meta(ge=0, le=1)],
        Meta(description="Share of patches that come from these clips; the others are clean."),
    ] = 0.8

    iterations: Annotated[Positive, Meta(description="Optimizer steps of the whole run.")] = 250_000
    optimizer: Annotated[
        OptimizerName,
        Meta(description="soap: Adam in the eigenbasis of the gradients; needs several times fewer iterations."),
    ] = "adam"
    learning_rate: Annotated[Rate, Meta(description="Highest learning rate.")] = 5e-4
    beta1: Annotated[Share, Meta(description="Decay of the mean gradient.")] = 0.9
    beta2: Annotated[Share, Meta(description="Decay of the mean squared gradient.")] = 0.999
    schedule: Annotated[
        Schedule, Meta(description="Halve the learning rate at 20, 40, 60 and 80 %, or follow half a cosine.")
    ] = "step"
    final_learning_rate: Annotated[Rate, Meta(description="Learning rate at the end of the cosine.")] = 1e-6
    warmup: Annotated[Count, Meta(description="Iterations in which the learning rate rises linearly from 0.")] = 0
    ema: Annotated[Share, Meta(description="Decay of the moving average of the weights, which is what is saved.")] = (
        0.999
    )
    clip: Annotated[Weight, Meta(description="Largest norm of the gradient; 0: no limit.")] = 1.0
    seed: Annotated[Count, Meta(description="Random seed of the initial weights and of all batches.")] = 0

    validation_interval: Annotated[Positive, Meta(description="Iterations between validations.")] = 1000
    checkpoint_interval: Annotated[Positive, Meta(description="Iterations between checkpoints.")] = 1000
    log_interval: Annotated[Positive, Meta(description="Iterations per line of the log.")] = 50

    device: Annotated[Device, Meta(description="auto: CUDA if available.")] = "auto"
    precision: Annotated[
        TrainingPrecision, Meta(description="Of activations. auto: bf16 on CUDA devices that support it, else fp32.")
    ] = "auto"
    merge: Annotated[
        bool, Meta(description="Train reparameterizable blocks through their merged kernel: same result, faster.")
    ] = True
    compile: Annotated[
        bool, Meta(description="Compile the step (torch.compile): takes a minute, then about 25 % faster.")
    ] = False
    threads: Annotated[
        Annotated[int, Meta(ge=0, le=512)],
        Meta(description="CPU threads of each process; 0: all available. On a shared machine fewer are faster."),
    ] = 0
    workers: Annotated[
        Annotated[int, Meta(ge=0, le=512)],
        Meta(description="Threads that prepare batches; 0: one, or up to 8 for CUDA."),
    ] = 0

    def __post_init__(self) -> None:
        if not self.patches:
            raise ValueError("patches must name at least one size")
        if odd := [size for size in self.patches if size % 2]:
            raise ValueError(f"patches must be even, and {odd[0]} is not")
        if self.warmup >= self.iterations:
            raise ValueError(f"warmup {self.warmup} must be less than the {self.iterations} iterations")
        if self.precision in ("bf16", "fp16") and self.device == "cpu":
            raise ValueError(f"precision {self.precision} is for CUDA")

    def to_toml(self) -> str:
        """As a file that `read_config` reads again."""
        plain = {name: value for name, value in msgspec.structs.asdict(self).items() if name != "network"}
        # The preset names the architecture; the table then replaces all that the preset says.
        plain["preset"] = architecture_of(self.network).default
        # TOML has no null: 0 stands for it, see `_network`.
        network = {name: 0 if value is None else value for name, value in self.network.fields().items()}
        return f"{_toml(plain)}\n[network]\n{_toml(network)}"

    def to_json(self) -> str:
        """As a document that `from_json` reads again."""
        plain = {name: value for name, value in msgspec.structs.asdict(self).items() if name != "network"}
        network = {"architecture": self.network.architecture, **self.network.fields()}
        return msgspec.json.encode({**plain, "network": network}).decode()

    @classmethod
    def from_json(cls, document: str) -> Self:
        """The configuration that `to_json` wrote.

        Raises:
            ValueError: the document is something else.
        """
        plain = from_json(document, dict[str, Any])
        network = msgspec.convert(plain.pop("network", None), dict[str, Any])
        # Runs of older versions trained RT4KSR networks only, and did not say so.
        name = network.pop("architecture", DEFAULT.name)
        config = msgspec.convert(plain, cls)
        return msgspec.structs.replace(config, network=configured(cls._network(name), network))

    @classmethod
    def _network(cls, architecture: str) -> Configuration:
        """What a configuration of an architecture is read into."""
        if architecture not in ARCHITECTURES:
            raise ValueError(f"there is no architecture {architecture!r}")
        known = ARCHITECTURES[architecture]
        default: Configuration = known.presets[known.default]
        return default


Config = TypeVar("Config", bound=TrainingConfig)


def read_config(
    file: Path | None, overrides: Mapping[str, Any], *, preset: str | None = None, scale: int | None = None
) -> TrainingConfig:
    """The configuration of a file, with other values for some fields. Relative paths become absolute.

    Args:
        file: TOML with fields of `TrainingConfig`; also `preset`, `scale`, and a table `network` with fields of the
            preset's configuration, which change the preset (default: rt4ksr). None: defaults.
        overrides: by field; they take precedence over the file.
        preset, scale: of the network; a preset replaces all that the file says of it but the scale.

    Raises:
        InputError: no such file, not TOML, an unknown field, or a value that a field cannot have.
    """
    content = {} if file is None else _read_toml(file)
    where = "training configuration" if file is None else str(file)
    try:
        network = _network(content, preset, scale)
        fields = {name: value for name, value in content.items() if name not in ("preset", "scale", "network")}
        config = converted({**fields, **overrides}, TrainingConfig)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {error}", "`toolkit train --help` lists all settings.") from error
    return msgspec.structs.replace(config, network=network)


def converted(fields: Mapping[str, Any], kind: type[Config]) -> Config:
    """A configuration from its fields. Relative paths become absolute: a run may be resumed from another directory.

    Raises:
        ValueError: an unknown field, one that is missing, or a value that a field cannot have.
    """
    if "data" not in fields:
        raise ValueError("there is no directory of photographs to train on (data)")
    config = msgspec.convert(fields, kind)
    paths = {name: str(Path(path).absolute()) for name in _PATHS if (path := getattr(config, name))}
    return msgspec.structs.replace(config, **paths)


def checked(config: TrainingConfig) -> TrainingConfig:
    """The same configuration, its ranges verified.

    Raises:
        InputError: a value that its field cannot have.
    """
    plain = {name: value for name, value in msgspec.structs.asdict(config).items() if name != "network"}
    try:
        msgspec.convert(plain, type(config))
    except msgspec.ValidationError as error:
        raise InputError(f"training configuration: {error}") from error
    return config


def differences(before: TrainingConfig, now: TrainingConfig) -> list[str]:
    """The fields in which two configurations differ, as `name before → now`."""
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(now)
    return [f"{name} {old[name]} → {new[name]}" for name in old if old[name] != new[name]]


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return read_toml(file)
    except FileNotFoundError:
        raise InputError(f"there is no file {file}", "Check the path.") from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except MalformedDocument as error:
        raise InputError(f"{file} is not TOML: {error}") from error


def _network(content: Mapping[str, Any], preset: str | None, scale: int | None) -> Configuration:
    name = preset or content.get("preset", DEFAULT.default)
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    fields = content.get("network", {})
    if not isinstance(fields, Mapping):
        raise ValueError("network must be a table")
    base = PRESETS[name]
    fields = {key: None if value == 0 and may_be_none(base, key) else value for key, value in fields.items()}
    said = (scale, content.get("scale"), fields.get("scale"))
    given = {"scale": next((value for value in said if value is not None), base.scale)}
    return configured(base, given if preset else {**fields, **given})


def _toml(fields: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {toml_value(value)}\n" for name, value in fields.items() if value is not None)
