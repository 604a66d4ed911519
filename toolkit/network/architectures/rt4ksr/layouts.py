"""Recognising RT4KSR weights from their tensors alone, and translating other layouts' names to ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network.architectures.rt4ksr.config import RELEASED_SCALES, UNSHUFFLE, NetworkConfig
from toolkit.network.architectures.rt4ksr.derivation import (
    SHOWN,
    count_blocks,
    derive_config,
    described,
    listed,
    scale_of,
)
from toolkit.network.architectures.rt4ksr.model import RT4KSR

Layout = Literal["released", "rep_conv", "toolkit"]

LANDMARK = "head.0.weight"
"""The name that the reference code's layouts have, after what a wrapper added (`module.`, `model.`, `net.`, ...)."""

OWN_LANDMARKS = ("head.weight", "tail.conv", "upsample.weight")
"""How names of our own layout begin, which holds what the released one cannot. One alone is in many a network."""

_MODULES = {"head": "head.0", "upsample": "upsample.0", "tail.norm": "tail.0"}
_BLOCKS = {"tail": "tail.1", "hfb": "hfb.0"}
_PARTS = {".expand": "expand_conv", ".spatial": "fea_conv", ".reduce": "reduce_conv", "": "rep_conv"}


@dataclass(frozen=True)
class Recognised:
    """RT4KSR weights found in a file.

    Attributes:
        config: derived from shapes; `high_frequency` says that the branch's weights are there, not that they matter.
        tensors: by the names of `RT4KSR.state_dict()`.
        layout: `released` (training form) or `rep_conv` (already fused), as the reference code names them, or
            `toolkit`.
        entry: where in the file they were ("" = at the top).
        prefix: what a wrapper had put before every name.
    """

    config: NetworkConfig
    tensors: dict[str, Tensor]
    layout: Layout
    entry: str
    prefix: str


def recognise(groups: Mapping[str, Mapping[str, Tensor]], where: str, entry: str | None = None) -> Recognised:
    """Find the one set of RT4KSR weights among a file's groups of tensors.

    Args:
        groups: as `reading.tensor_groups` returns.
        where: the file, for messages.
        entry: which group to take when there are several (for instance plain and EMA weights).

    Raises:
        CheckpointError: none, several, or not quite RT4KSR; the message lists missing, strange and misshapen names.
    """
    found = [(name, prefix) for name, tensors in groups.items() for prefix in _prefixes(tensors)]
    labels = [_label(*place) for place in found]
    if entry is not None:
        found = [place for place, label in zip(found, labels, strict=True) if label == entry or place[0] == entry]
        if not found:
            raise CheckpointError(f"{where} has no RT4KSR weights under {entry!r}", f"It has: {listed(labels)}.")
    if not found:
        raise CheckpointError(
            f"{where} holds another network's weights: {LANDMARK} is missing, and these are strange: "
            f"{listed(name for tensors in groups.values() for name in tensors)}",
            "Give RT4KSR weights, in training form (expand_conv, fea_conv, reduce_conv) or fused (rep_conv).",
        )
    if len(found) > 1:
        raise CheckpointError(
            f"{where} holds several sets of RT4KSR weights: {listed(labels)}", "Choose one with --entry."
        )
    (name, prefix) = found[0]
    stripped = {key.removeprefix(prefix): tensor for key, tensor in groups[name].items() if key.startswith(prefix)}
    if LANDMARK in stripped:
        config = _derive_released(stripped, where)
        layout: Layout = "rep_conv" if config.hidden is None else "released"
        return Recognised(config, _translate(stripped, config, where, released_name), layout, name, prefix)
    config = derive_config(stripped, where)
    return Recognised(config, _translate(stripped, config, where, str), "toolkit", name, prefix)


def layout_name(config: NetworkConfig) -> Callable[[str], str]:
    """From our names to those that weights of this network are stored under."""
    return released_name if config.released_layout else str


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """What stands before the names of each set of RT4KSR weights."""
    released = [key.removesuffix(LANDMARK) for key in tensors if key == LANDMARK or key.endswith(f".{LANDMARK}")]
    head, *others = OWN_LANDMARKS
    own = [key.removesuffix(head) for key in tensors if key == head or key.endswith(f".{head}")]
    return released + [
        prefix for prefix in own if all(any(key.startswith(prefix + other) for key in tensors) for other in others)
    ]


def released_name(ours: str) -> str:
    """What the reference code calls a tensor of `RT4KSR.state_dict()`, in training or fused form."""
    module, _, leaf = ours.rpartition(".")
    if module in _MODULES:
        return f"{_MODULES[module]}.{leaf}"
    block, conv, part = module.partition(".conv")
    if not conv:
        return ours  # gamma and the norms of the body have the same names
    return f"{_BLOCKS.get(block, f'{block}.conv1')}.{_PARTS[part]}.{leaf}"


def _derive_released(tensors: Mapping[str, Tensor], where: str) -> NetworkConfig:
    """Hyper-parameters from the shapes of a few tensors; `_translate` then holds all others against them."""
    expand = tensors.get("body.0.conv1.expand_conv.weight")
    if expand is None and "body.0.conv1.rep_conv.weight" not in tensors:
        raise CheckpointError(
            f"{where} has RT4KSR's {LANDMARK}, but neither body.0.conv1.expand_conv (training form) nor "
            f"body.0.conv1.rep_conv (fused form); it has {listed(tensors)}"
        )
    blocks, head = count_blocks(tensors, where), tensors[LANDMARK]
    return NetworkConfig(
        scale=scale_of(tensors, "upsample.0.weight", UNSHUFFLE, where),
        channels=max(head.shape[0], 1) if head.ndim else 1,
        blocks=blocks,
        hidden=None if expand is None else max(expand.shape[0], 1) if expand.ndim else 1,
        stem="gaussian" if any(name.startswith("hfb.") for name in tensors) else "none",
    )


def _translate(
    given: Mapping[str, Tensor], config: NetworkConfig, where: str, stored_name: Callable[[str], str]
) -> dict[str, Tensor]:
    """Tensors by our names, when they are exactly those of `config`; otherwise one error with every difference."""
    with torch.device("meta"):
        expected = {stored_name(ours): (ours, tensor.shape) for ours, tensor in RT4KSR(config).state_dict().items()}
    optional = set() if config.high_frequency else {"gamma"}  # stored even without the branch it belongs to
    complaints = []
    if missing := expected.keys() - given.keys():
        complaints.append(f"missing {listed(missing)}")
    if strange := given.keys() - expected.keys() - optional:
        complaints.append(f"strange {listed(strange)}")
    complaints += [
        f"{name} has shape {tuple(given[name].shape)} instead of {tuple(shape)}"
        for name, (_, shape) in expected.items()
        if name in given and given[name].shape != shape
    ][:SHOWN]
    if complaints:
        architecture = "the released architecture" if stored_name is released_name else "its configuration"
        raise CheckpointError(
            f"{where} is close to RT4KSR but differs from {architecture}: {'; '.join(complaints)}",
            f"Its shapes say {described(config)}.",
        )
    return {ours: given[name] for name, (ours, _) in expected.items()}


def check_scale(config: NetworkConfig, asked: int | None, where: str) -> None:
    """Refuse a scale nobody asked for.

    Raises:
        CheckpointError: the network's scale is not the one asked for, or is unusual and none was asked for.
    """
    if asked is not None and asked != config.scale:
        raise CheckpointError(f"{where} upscales x{config.scale}, but x{asked} was asked for")
    if asked is None and config.scale not in RELEASED_SCALES:
        raise CheckpointError(
            f"{where} upscales x{config.scale}; RT4KSR was released for x2 and x3",
            f"If that is what you trained, ask for it: --scale {config.scale}.",
        )


def _label(entry: str, prefix: str) -> str:
    return ".".join(part for part in (entry, prefix.rstrip(".")) if part) or "(top)"
