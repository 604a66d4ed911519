"""From a file to a network, with what was found out and decided on the way."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network.architectures.rt4ksr.config import LARGEST_SCALE, NetworkConfig, config_from
from toolkit.network.architectures.rt4ksr.layouts import Recognised, check_scale, layout_name, recognise, released_name
from toolkit.network.architectures.rt4ksr.model import RT4KSR, untrained_network
from toolkit.network.architectures.rt4ksr.presets import PRESETS
from toolkit.network.reading import CONFIG_KEY, read_checkpoint
from toolkit.system.atomic import sha256_of, sha256_of_file
from toolkit.system.documents import from_json

HighFrequency = Literal["auto", "on", "off"]

_STANDARD_ERRORS = 5
"""How far the spread of uniform samples may be from its expectation, in standard errors of that spread."""


@dataclass(frozen=True)
class Checkpoint:
    """A network and where it came from.

    Attributes:
        network: float32, evaluation mode, in the form of the file (`network.config.form`).
        file: the file's name without its directory, or what stands in for one.
        sha256: of the file's bytes.
        layout: `released`, `rep_conv`, `toolkit`, or `untrained`.
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
        CheckpointError: see `reading.read_checkpoint`, `layouts.recognise`; also non-finite or non-float weights, and
            a configuration in the file that its tensors contradict.
    """
    path = Path(path)
    contents = read_checkpoint(path)
    found = _with_stored_config(recognise(contents.groups, str(path), entry), contents.config, str(path))
    check_scale(found.config, scale, str(path))
    stored = max(_resolution(tensor) for tensor in found.tensors.values())
    found, notes = _as_float32(found, str(path))
    live, reason = _decide_high_frequency(found, high_frequency, str(path), stored)
    if live and float(found.tensors["gamma"].detach()) == 0:
        notes += (f"{reason}: with gamma 0 the output is the branch's alone; --high-frequency off leaves it out",)
    config = found.config if live else replace(found.config, stem="none", plain_hfb=False)
    tensors = {
        name: tensor
        for name, tensor in found.tensors.items()
        if live or not name.startswith(("gamma", "hfb.", "high_pass."))
    }
    network = RT4KSR(config)
    network.load_state_dict(tensors)
    # A name need not be text on every file system; in a manifest it must be.
    name = path.name.encode("utf-8", "replace").decode()
    return Checkpoint(network.eval(), name, sha256_of_file(path), found.layout, reason, notes)


def untrained_checkpoint(scale: int = 2, seed: int = 0, preset: str = "rt4ksr") -> Checkpoint:
    """A seeded network that was never trained: for trying the tools, useless for images.

    Raises:
        CheckpointError: the scale is not a positive number, or there is no such preset.
    """
    if not 1 <= scale <= LARGEST_SCALE:
        raise CheckpointError(f"scale {scale} is not between 1 and {LARGEST_SCALE}", "RT4KSR was made for 2 and 3.")
    if preset not in PRESETS:
        raise CheckpointError(f"there is no preset {preset!r}", f"Choose from {', '.join(PRESETS)}.")
    network = untrained_network(replace(PRESETS[preset], scale=scale), seed)
    note = "UNTRAINED: random weights from a seed. Timings are real, pictures are noise. Pass a checkpoint."
    digest = sha256_of(serialised_weights(network))
    reason = "part of the preset" if network.config.high_frequency else "no branch was built"
    return Checkpoint(network, f"untrained-seed-{seed}", digest, "untrained", reason, (note,))


def serialised_weights(network: RT4KSR) -> bytes:
    """The weights as a safetensors file that says its configuration; the same weights give the same bytes.

    Names are the reference code's where these can hold the network, else ours.
    """
    from safetensors.torch import save

    name = layout_name(network.config)
    tensors = {name(ours): tensor.contiguous() for ours, tensor in network.state_dict().items()}
    return save(dict(sorted(tensors.items())), {CONFIG_KEY: json.dumps(asdict(network.config), sort_keys=True)})


def _with_stored_config(found: Recognised, stored: str | None, where: str) -> Recognised:
    """What the file says of itself adds what tensors do not tell; it must not contradict what they do."""
    if stored is None:
        return found
    try:
        said = config_from(from_json(stored, dict[str, Any]))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{where}: its {CONFIG_KEY} cannot be read: {error}") from error
    seen = replace(found.config, activation=said.activation)
    if said != seen:
        differing = [name for name, value in asdict(said).items() if asdict(seen)[name] != value]
        raise CheckpointError(
            f"{where} says one thing and holds another: {differing[0]} is {getattr(said, differing[0])} in its "
            f"{CONFIG_KEY}, and {getattr(seen, differing[0])} by its tensors"
        )
    return replace(found, config=said)


def _as_float32(found: Recognised, where: str) -> tuple[Recognised, tuple[str, ...]]:
    """The same weights in float32, and what a user should know of the change."""
    name_of = str if found.layout == "toolkit" else released_name
    integral = [name_of(name) for name, tensor in found.tensors.items() if not tensor.is_floating_point()]
    if integral:
        raise CheckpointError(f"{where}: {integral[0]} is not floating-point")
    odd = [name for name, tensor in found.tensors.items() if tensor.is_meta or tensor.layout != torch.strided]
    if odd:
        raise CheckpointError(f"{where}: {name_of(odd[0])} is not a dense tensor with values")
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in found.tensors.values()})
    tensors = {name: tensor.float() for name, tensor in found.tensors.items()}
    broken = {name: int((~tensor.isfinite()).sum()) for name, tensor in tensors.items()}
    if broken := {name_of(name): count for name, count in broken.items() if count}:
        listed = ", ".join(f"{name} ({count})" for name, count in list(broken.items())[:6])
        raise CheckpointError(
            f"{where} has non-finite weights (NaN or infinity in float32) in {len(broken)} tensors: {listed}",
            "The training diverged, or the file is damaged: take an earlier checkpoint.",
        )
    notes = () if dtypes == ["float32"] else (f"weights stored as {', '.join(dtypes)} are used as float32",)
    return replace(found, tensors=tensors), notes


def _decide_high_frequency(found: Recognised, asked: HighFrequency, where: str, stored: float) -> tuple[bool, str]:
    """Whether the branch takes part, and why. As released it does not: gamma is 0 and the branch untouched."""
    if not found.config.high_frequency:
        if asked == "on":
            raise CheckpointError(f"{where} has no high-frequency branch (hfb.*) to switch on")
        return False, "the checkpoint has no such branch"
    if asked != "auto":
        return asked == "on", f"--high-frequency {asked}"
    gamma = float(found.tensors["gamma"].detach())
    if gamma != 0:
        return True, f"gamma is {gamma:.4g}"
    if found.layout == "toolkit":
        return True, "part of the configuration"
    if found.config.hidden is None:
        return False, "gamma is 0; merged weights do not tell whether the branch was trained"
    if _looks_untrained(found.tensors, stored):
        return False, "gamma is 0 and the branch is as PyTorch initialises it"
    return True, "gamma is 0, but the branch was trained"


def _resolution(tensor: Tensor) -> float:
    """Relative rounding of the dtype a tensor was stored in."""
    return torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0


def _looks_untrained(tensors: Mapping[str, Tensor], stored: float) -> bool:
    """Whether hfb.* is, to the precision stored, PyTorch's default for convolutions: uniform in ±1/sqrt(fan_in)."""
    for name in ("expand", "spatial", "reduce"):
        weight, bias = (tensors[f"hfb.conv.{name}.{leaf}"].double() for leaf in ("weight", "bias"))
        bound = 1 / math.sqrt(weight[0].numel())
        if max(weight.abs().max(), bias.abs().max()) > bound * (1 + 1e-5 + stored):
            return False
        # The spread of n uniform samples has a relative standard error of sqrt((9/5 - 1) / 4n).
        allowed = _STANDARD_ERRORS * math.sqrt(0.2 / weight.numel())
        if abs(float(weight.square().mean().sqrt()) / (bound / math.sqrt(3)) - 1) > allowed:
            return False
    return True
