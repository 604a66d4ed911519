"""From a file to a network, with what was found out and decided on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor

from toolkit.atomic import sha256_of, sha256_of_file
from toolkit.errors import CheckpointError
from toolkit.network.config import NetworkConfig
from toolkit.network.layouts import check_scale, recognise, released_name
from toolkit.network.model import RT4KSR, untrained_network
from toolkit.network.reading import tensor_groups

HighFrequency = Literal["auto", "on", "off"]

_UNTRAINED_SPREAD = 0.15
"""How far the spread of thousands of uniform samples may be from its expectation; training moves it much further."""


@dataclass(frozen=True)
class Checkpoint:
    """A network and where it came from.

    Attributes:
        network: float32, evaluation mode, in the form of the file (`network.config.form`).
        file: the file's name without its directory, or what stands in for one.
        sha256: of the file's bytes.
        layout: `released`, `rep_conv`, or `untrained`.
        high_frequency_reason: why the high-frequency branch is live or dead.
        notes: what else a user should know.
    """

    network: RT4KSR
    file: str
    sha256: str
    layout: str
    high_frequency_reason: str
    notes: tuple[str, ...] = ()

    @property
    def config(self) -> NetworkConfig:
        return self.network.config


def load_checkpoint(
    path: Path | str,
    *,
    high_frequency: HighFrequency = "auto",
    scale: int | None = None,
    entry: str | None = None,
) -> Checkpoint:
    """Read an RT4KSR checkpoint, recognised by its tensors and never by its name.

    Args:
        path: .pth, .pt, .ckpt or .safetensors, whatever it is called.
        high_frequency: `auto` decides from the weights whether the branch is live; `on` and `off` override.
        scale: refuse anything else; needed for scales other than 2 and 3.
        entry: which weights to take when a file has several sets.

    Raises:
        CheckpointError: see `reading.tensor_groups`, `layouts.recognise`; also non-finite or non-float weights.
    """
    path = Path(path)
    found = recognise(tensor_groups(path), str(path), entry)
    check_scale(found.config, scale, str(path))
    notes = _check_values(found.tensors, str(path))
    live, reason = _decide_high_frequency(found.tensors, found.config, high_frequency, str(path))
    tensors = {
        name: tensor.float()
        for name, tensor in found.tensors.items()
        if live or not (name == "gamma" or name.startswith("hfb."))
    }
    network = RT4KSR(replace(found.config, high_frequency=live))
    network.load_state_dict(tensors)
    return Checkpoint(network.eval(), path.name, sha256_of_file(path), found.layout, reason, notes)


def untrained_checkpoint(scale: int = 2, seed: int = 0) -> Checkpoint:
    """A seeded network that was never trained: for trying the tools, useless for images."""
    network = untrained_network(NetworkConfig(scale=scale), seed)
    note = "UNTRAINED: random weights from a seed. Timings are real, pictures are noise. Pass a checkpoint."
    digest = sha256_of(serialised_weights(network))
    return Checkpoint(network, f"untrained-seed-{seed}", digest, "untrained", "no branch was built", (note,))


def serialised_weights(network: RT4KSR) -> bytes:
    """The weights as a safetensors file with the reference code's names; the same weights give the same bytes."""
    from safetensors.torch import save

    tensors = {released_name(name): tensor.contiguous() for name, tensor in network.state_dict().items()}
    return save(dict(sorted(tensors.items())))


def _check_values(tensors: Mapping[str, Tensor], where: str) -> tuple[str, ...]:
    integral = [released_name(name) for name, tensor in tensors.items() if not tensor.is_floating_point()]
    if integral:
        raise CheckpointError(f"{where}: {integral[0]} is not floating-point ({_dtypes(tensors)})")
    broken = {
        released_name(name): int((~tensor.isfinite()).sum())
        for name, tensor in tensors.items()
        if not tensor.isfinite().all()
    }
    if broken:
        listed = ", ".join(f"{name} ({count})" for name, count in list(broken.items())[:6])
        raise CheckpointError(
            f"{where} has non-finite weights (NaN or infinity) in {len(broken)} tensors: {listed}",
            "The training diverged, or the file is damaged: take an earlier checkpoint.",
        )
    dtypes = _dtypes(tensors)
    return () if dtypes == "float32" else (f"weights stored as {dtypes} are used as float32",)


def _dtypes(tensors: Mapping[str, Tensor]) -> str:
    """The distinct dtypes of a group, for people."""
    return ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))


def _decide_high_frequency(
    tensors: Mapping[str, Tensor], config: NetworkConfig, asked: HighFrequency, where: str
) -> tuple[bool, str]:
    """Whether the branch takes part, and why. As released it does not: gamma is 0 and the branch untouched."""
    if not config.high_frequency:
        if asked == "on":
            raise CheckpointError(f"{where} has no high-frequency branch (hfb.*) to switch on")
        return False, "the checkpoint has no such branch"
    if asked != "auto":
        return asked == "on", f"--high-frequency {asked}"
    gamma = float(tensors["gamma"])
    if gamma != 0:
        return True, f"gamma is {gamma:.4g}"
    if config.hidden is None:
        return False, "gamma is 0"
    if _looks_untrained(tensors):
        return False, "gamma is 0 and the branch still has its random initialisation"
    return True, "gamma is 0, but the branch was trained"


def _looks_untrained(tensors: Mapping[str, Tensor]) -> bool:
    """Whether hfb.* is still PyTorch's default for convolutions: uniform in ±1/sqrt(fan_in)."""
    for name in ("expand", "spatial", "reduce"):
        weight, bias = (tensors[f"hfb.conv.{name}.{leaf}"].double() for leaf in ("weight", "bias"))
        bound = 1 / math.sqrt(weight[0].numel())
        if max(weight.abs().max(), bias.abs().max()) > bound * (1 + 1e-5):
            return False
        if abs(float(weight.std()) / (bound / math.sqrt(3)) - 1) > _UNTRAINED_SPREAD and weight.numel() > 100:
            return False
    return True
