"""From a checkpoint file to a network, with the reasons of what was decided on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network.architectures.architecture import Branch, Found
from toolkit.network.architectures.configuration import LARGEST_SCALE, Configuration
from toolkit.network.architectures.details import Details
from toolkit.network.architectures.registry import DEFAULT, PRESETS, AnyArchitecture, architecture_of
from toolkit.network.building import untrained_network
from toolkit.network.bundled_files import LICENCE, Purpose, bundled_purpose
from toolkit.network.module import NetworkModule
from toolkit.network.reading import config_key, read_checkpoint
from toolkit.network.recognition import recognise
from toolkit.network.unstated import measured, with_assumed, with_stored
from toolkit.system.atomic import sha256_of, sha256_of_file

UNTRAINED = "untrained"
"""The layout of checkpoints that were never in a file."""


@dataclass(frozen=True)
class Checkpoint:
    """A network and where it came from.

    Attributes:
        network: float32, evaluation mode, in the form of the file (training form or merged).
        file: the file's name without its directory, or what stands in for one.
        sha256: of the file's bytes.
        layout: how the file names tensors, in the architecture's terms, or `untrained`.
        details: for the manifest: what only the architecture can say, with the reasons of what was decided.
        notes: what else a user should know, one sentence each.
        merged: the file held weights whose blocks had been merged before.
        licence: of the weights, where the file is known; None: unknown.
        purpose: of weights that ship with the toolkit; None: of others.

    Example:
        >>> checkpoint = toolkit.load_checkpoint("rt4ksr_x2.safetensors")
        >>> checkpoint.file, checkpoint.merged
        ('rt4ksr_x2.safetensors', False)
    """

    network: NetworkModule
    file: str
    sha256: str
    layout: str
    details: Details
    notes: tuple[str, ...] = ()
    merged: bool = False
    licence: str | None = None
    purpose: Purpose | None = None

    @property
    def config(self) -> Configuration:
        return self.network.config

    @property
    def untrained(self) -> bool:
        """Whether its weights are random."""
        return self.layout == UNTRAINED

    @property
    def architecture(self) -> AnyArchitecture:
        return architecture_of(self.config)


def load_checkpoint(
    path: Path | str,
    *,
    high_frequency: Branch = "auto",
    scale: int | None = None,
    entry: str | None = None,
    architecture: str | None = None,
    assume: Mapping[str, str] = MappingProxyType({}),
) -> Checkpoint:
    """Read a checkpoint. Its architecture is recognised by its tensors and never by the file's name.

    Args:
        path: .pth, .pt, .ckpt or .safetensors, whatever it is called.
        high_frequency: whether an optional branch takes part, as RT4KSR's high-frequency branch is: `auto` decides from
            the weights; `on` and `off` override; `present`: if the file has it, for files that the toolkit wrote.
        scale: refuse any other; required for scales that are unusual for the architecture.
        entry: which weights to take when a file has several sets.
        architecture: whose weights they are, for tensors that several architectures have alike.
        assume: values of configuration fields that no tensor shows, as text, for example `{"image_range": "1"}`. What
            is neither in the file nor assumed is measured: see `unstated.measured`.

    Raises:
        CheckpointError: see `reading.read_checkpoint`, `recognition.recognise`, `unstated`; also non-finite or
            non-float weights.

    Example:
        >>> toolkit.load_checkpoint("rt4ksr_x2.safetensors").merged
        False
    """
    path = Path(path)
    contents = read_checkpoint(path)
    recognised, found = recognise(contents.groups, str(path), entry, architecture)
    found = with_stored(recognised, found, contents.config, str(path))
    found = with_assumed(recognised, found, assume, str(path))
    _check_scale(recognised, found.config, scale, str(path))
    rounding = max(_relative_rounding(tensor) for tensor in found.tensors.values())
    found, notes = _as_float32(found, str(path))
    decided = recognised.decide(measured(recognised, found), high_frequency, str(path), rounding)
    network: NetworkModule = recognised.build(decided.config)
    network.load_state_dict(decided.tensors)
    # File systems may hold names that are not valid Unicode; a manifest must not.
    name = path.name.encode("utf-8", "replace").decode()
    notes += decided.notes
    digest = sha256_of_file(path)
    purpose = bundled_purpose(digest)
    return Checkpoint(
        network.eval(),
        name,
        digest,
        found.layout,
        decided.details,
        notes,
        merged=found.merged,
        licence=recognised.licences.get(digest) if purpose is None else LICENCE,
        purpose=purpose,
    )


def untrained_checkpoint(scale: int = 2, seed: int = 0, preset: str = DEFAULT.default) -> Checkpoint:
    """A seeded network that was never trained: for trying the tools, useless for images.

    Raises:
        CheckpointError: the scale is not in 1..16, or there is no such preset.
    """
    if preset not in PRESETS:
        raise CheckpointError(f"there is no preset {preset!r}", f"Choose from {', '.join(PRESETS)}.")
    architecture = architecture_of(PRESETS[preset])
    if not 1 <= scale <= LARGEST_SCALE:
        made_for = " and ".join(map(str, architecture.usual_scales))
        raise CheckpointError(
            f"scale {scale} is not between 1 and {LARGEST_SCALE}", f"{architecture.title} was made for {made_for}."
        )
    network = untrained_network(replace(PRESETS[preset], scale=scale), seed)
    note = "UNTRAINED: random weights from a seed. Timings are real, pictures are noise. Pass a checkpoint."
    digest = sha256_of(serialised_weights(network))
    details = architecture.details(network.config)
    return Checkpoint(network, f"untrained-seed-{seed}", digest, UNTRAINED, details, (note,))


def serialised_weights(network: NetworkModule) -> bytes:
    """The weights as a safetensors file with their configuration; the same weights give the same bytes.

    Tensors are named as `Architecture.stored_name` says.
    """
    from safetensors.torch import save

    architecture = architecture_of(network.config)
    name = architecture.stored_name(network.config)
    tensors = {name(ours): tensor.contiguous() for ours, tensor in network.state_dict().items()}
    metadata = {config_key(architecture.name): json.dumps(network.config.fields(), sort_keys=True)}
    return save(dict(sorted(tensors.items())), metadata)


def _check_scale(architecture: AnyArchitecture, config: Configuration, asked: int | None, where: str) -> None:
    """Refuse another scale than the one asked for, and an unusual one that was not asked for."""
    if asked is not None and asked != config.scale:
        raise CheckpointError(f"{where} upscales x{config.scale}, but x{asked} was asked for")
    if asked is None and config.scale not in architecture.usual_scales:
        usual = " and ".join(f"x{scale}" for scale in architecture.usual_scales)
        raise CheckpointError(
            f"{where} upscales x{config.scale}; {architecture.title} was released for {usual}",
            f"If that is what you trained, ask for it: --scale {config.scale}.",
        )


def _as_float32(found: Found[Any], where: str) -> tuple[Found[Any], tuple[str, ...]]:
    """The same weights in float32, and what a user should know of the change."""
    named = found.stored_name
    integral = [named(name) for name, tensor in found.tensors.items() if not tensor.is_floating_point()]
    if integral:
        raise CheckpointError(f"{where}: {integral[0]} is not floating-point")
    without_values = [
        name for name, tensor in found.tensors.items() if tensor.is_meta or tensor.layout != torch.strided
    ]
    if without_values:
        raise CheckpointError(f"{where}: {named(without_values[0])} is not a dense tensor with values")
    dtypes = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in found.tensors.values()})
    tensors = {name: tensor.float() for name, tensor in found.tensors.items()}
    broken = {name: int((~tensor.isfinite()).sum()) for name, tensor in tensors.items()}
    if broken := {named(name): count for name, count in broken.items() if count}:
        listed = ", ".join(f"{name} ({count})" for name, count in list(broken.items())[:6])
        raise CheckpointError(
            f"{where} has non-finite weights (NaN or infinity in float32) in {len(broken)} tensors: {listed}",
            "The training diverged, or the file is damaged: use an earlier checkpoint.",
        )
    notes = () if dtypes == ["float32"] else (f"weights stored as {', '.join(dtypes)} are used as float32",)
    return replace(found, tensors=tensors), notes


def _relative_rounding(tensor: Tensor) -> float:
    """Relative rounding of the dtype that a tensor was stored in."""
    return torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0
