"""What decides how a training run goes: one value, from a file and the command line, kept beside the results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from toolkit.errors import InputError
from toolkit.network.architectures.rt4ksr.config import NetworkConfig, config_from
from toolkit.network.architectures.rt4ksr.presets import PRESETS
from toolkit.quoting import toml_value
from toolkit.system.documents import MalformedDocument, read_toml

Loss = Literal["l1", "charbonnier"]
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
    """Everything that a run's result depends on, and what it runs on. The descriptions are the command line's help."""

    data: Annotated[str, Meta(description="Directory of photographs to train on, searched recursively.")]
    validation: Annotated[
        str, Meta(description="Images to validate on: originals, or pairs in HR and LR. Default: none.")
    ] = ""
    teacher: Annotated[str, Meta(description="Checkpoint whose output is imitated too. Default: none.")] = ""
    init: Annotated[str, Meta(description="Checkpoint to begin with instead of random weights.")] = ""
    start: Annotated[
        Start,
        Meta(description="Random weights that hand on the pixels, the last layer fitted to photographs; or PyTorch's."),
    ] = "fitted"
    network: NetworkConfig = NetworkConfig()

    loss: Annotated[Loss, Meta(description="Of the image: mean of |d|, or of sqrt(d² + 1e-6).")] = "l1"
    high_frequency_weight: Annotated[
        Weight, Meta(description="Weight of the L1 loss of what a Gaussian blur (5x5, sigma 1) takes away.")
    ] = 1.0
    teacher_weight: Annotated[Weight, Meta(description="Weight of the L1 loss against the teacher's output.")] = 1.0

    patches: Annotated[
        tuple[Size, ...], Meta(description="Low-resolution patch sizes, even; each batch has one of them.")
    ] = (64, 96, 128)
    batch: Annotated[Positive, Meta(description="Patches per iteration, over all processes.")] = 64
    jpeg_quality: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None,
        Meta(description="Compress low-resolution images as JPEG (NTIRE 2023: 90). Default: not."),
    ] = None

    clips: Annotated[
        Count, Meta(description="Clips of the photographs that are encoded with video codecs and decoded; 0: none.")
    ] = 0
    clip_share: Annotated[
        Annotated[float, Meta(ge=0, le=1)],
        Meta(description="Share of patches that are taken from these clips; the others are clean."),
    ] = 0.8

    iterations: Annotated[Positive, Meta(description="Optimizer steps of the whole run.")] = 250_000
    optimizer: Annotated[
        OptimizerName,
        Meta(
            description="soap: Adam in the gradients' eigenbasis, several times fewer iterations for the same quality."
        ),
    ] = "adam"
    learning_rate: Annotated[Rate, Meta(description="At its highest.")] = 5e-4
    beta1: Annotated[Share, Meta(description="Decay of the mean gradient.")] = 0.9
    beta2: Annotated[Share, Meta(description="Decay of the mean squared gradient.")] = 0.999
    schedule: Annotated[
        Schedule, Meta(description="Halve the learning rate at 20, 40, 60 and 80 %, or follow half a cosine.")
    ] = "step"
    final_learning_rate: Annotated[Rate, Meta(description="Where the cosine ends.")] = 1e-6
    warmup: Annotated[Count, Meta(description="Iterations in which the learning rate rises linearly from 0.")] = 0
    ema: Annotated[Share, Meta(description="Decay of the moving average of weights, which is what is kept.")] = 0.999
    clip: Annotated[Weight, Meta(description="Largest norm of the gradient; 0: any.")] = 1.0
    seed: Annotated[Count, Meta(description="Of the initial weights and of all batches.")] = 0

    validation_interval: Annotated[Positive, Meta(description="Iterations between validations.")] = 1000
    checkpoint_interval: Annotated[Positive, Meta(description="Iterations between checkpoints.")] = 1000
    log_interval: Annotated[Positive, Meta(description="Iterations that a line of the log sums up.")] = 50

    device: Annotated[Device, Meta(description="auto: CUDA where there is any.")] = "auto"
    precision: Annotated[
        TrainingPrecision, Meta(description="Of activations. auto: bf16 on CUDA where it has it, else fp32.")
    ] = "auto"
    merge: Annotated[
        bool, Meta(description="Train reparameterizable blocks through their merged kernel: the same, faster.")
    ] = True
    compile: Annotated[
        bool, Meta(description="Compile the step (torch.compile): a minute at the start, then about a quarter faster.")
    ] = False
    threads: Annotated[
        Annotated[int, Meta(ge=0, le=512)],
        Meta(description="Processor threads of each process; 0: all usable. On a shared machine fewer are faster."),
    ] = 0
    workers: Annotated[
        Annotated[int, Meta(ge=0, le=512)], Meta(description="Threads that prepare batches; 0: 1, or up to 8 for CUDA.")
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
        network = {name: value for name, value in asdict(self.network).items() if name != "hidden"}
        # TOML has no null; a network without reparameterizable blocks has 0 hidden channels there.
        network["hidden"] = self.network.hidden or 0
        return f"{_toml(plain)}\n[network]\n{_toml(network)}"


def read_config(
    file: Path | None, overrides: Mapping[str, Any], *, preset: str | None = None, scale: int | None = None
) -> TrainingConfig:
    """The configuration of a file, with other values for some fields. Relative paths become absolute.

    Args:
        file: TOML with fields of `TrainingConfig`; also `preset`, `scale`, and a table `network` with fields of
            `NetworkConfig`, which change the preset (default: rt4ksr). None: defaults.
        overrides: by field; they win.
        preset, scale: of the network; a preset replaces all that the file says of it but the scale.

    Raises:
        InputError: no such file, not TOML, an unknown field, or a value that a field cannot have.
    """
    content = {} if file is None else _read_toml(file)
    where = "training configuration" if file is None else str(file)
    try:
        network = _network(content, preset, scale)
        fields = {name: value for name, value in content.items() if name not in ("preset", "scale", "network")}
        merged: Any = {**fields, **overrides}
        if "data" not in merged:
            raise ValueError("there is no directory of photographs to train on (data)")
        config = msgspec.convert(merged, TrainingConfig)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {error}", "`toolkit train --help` lists all settings.") from error
    # A run may be resumed from another directory.
    paths = {name: str(Path(path).absolute()) for name in _PATHS if (path := getattr(config, name))}
    return msgspec.structs.replace(config, network=network, **paths)


def checked(config: TrainingConfig) -> TrainingConfig:
    """The same configuration, its ranges verified.

    Raises:
        InputError: a value that its field cannot have.
    """
    plain = {name: value for name, value in msgspec.structs.asdict(config).items() if name != "network"}
    try:
        msgspec.convert(plain, TrainingConfig)
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


def _network(content: Mapping[str, Any], preset: str | None, scale: int | None) -> NetworkConfig:
    name = preset or content.get("preset", "rt4ksr")
    if name not in PRESETS:
        raise ValueError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    fields = content.get("network", {})
    if not isinstance(fields, Mapping):
        raise ValueError("network must be a table")
    fields = {key: None if (key, value) == ("hidden", 0) else value for key, value in fields.items()}
    said = (scale, content.get("scale"), fields.get("scale"))
    given = {"scale": next((value for value in said if value is not None), PRESETS[name].scale)}
    return config_from(given if preset else {**fields, **given}, PRESETS[name])


def _toml(fields: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {toml_value(value)}\n" for name, value in fields.items() if value is not None)
