"""Networks by name: the steps from a plain convolutional network to RT4KSR, and sizes of the latter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from toolkit.network.architectures.rt4ksr.config import NetworkConfig

_PLAIN = NetworkConfig(hidden=None, layernorm=False, resolution="full")
_UNSHUFFLED = replace(_PLAIN, stem="gaussian", resolution="unshuffle")
_NAF = replace(_UNSHUFFLED, block="naf", layernorm=True, residual=True, attention="channel", squeeze=2)
_REPARAMETERIZED = NetworkConfig(stem="gaussian", block="projected", residual=True, attention="eca")

STEPS: Mapping[str, NetworkConfig] = MappingProxyType(
    {
        "baseline": _PLAIN,
        "pool-stem": replace(_PLAIN, stem="pool"),
        "gaussian-stem": replace(_PLAIN, stem="gaussian"),
        "down-up": replace(_PLAIN, stem="gaussian", resolution="down"),
        "unshuffle": _UNSHUFFLED,
        "separable": replace(_UNSHUFFLED, block="separable"),
        "naf": _NAF,
        "naf-eca": replace(_NAF, attention="eca", squeeze=1),
        "rrb": _REPARAMETERIZED,
        "simplified": NetworkConfig(stem="gaussian"),
        "rt4ksr": NetworkConfig(),
    }
)
"""The paper's progression, in order; each step changes one idea. `rt4ksr` is the released network, which has no
high-frequency branch."""

SIZES: Mapping[str, NetworkConfig] = MappingProxyType(
    {
        f"rt4ksr-{size}": NetworkConfig(channels=channels, blocks=blocks, hidden=2 * channels)
        for size, channels, blocks in (("s", 16, 3), ("m", 24, 6), ("l", 32, 8), ("xl", 48, 12))
    }
)

INTEGERS: Mapping[str, NetworkConfig] = MappingProxyType({"rt4ksr-int": NetworkConfig(image_residual=True)})
"""The released layout, made for int8."""

PRESETS: Mapping[str, NetworkConfig] = MappingProxyType({**STEPS, **SIZES, **INTEGERS})
"""All of them, for x2: `dataclasses.replace(PRESETS[name], scale=3)` is the same for x3."""
