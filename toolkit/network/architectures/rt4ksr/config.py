"""One configuration for every network of the paper's design space, from the first step to the released one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from toolkit.sizes import SizeRule

Form = Literal["training", "fused"]
"""`training`: 1x1-3x3-1x1 blocks with identities; `fused`: each block merged into one 3x3 convolution."""

Stem = Literal["none", "pool", "gaussian"]
Resolution = Literal["unshuffle", "full", "down"]
Block = Literal["conv", "separable", "naf", "projected"]
Attention = Literal["none", "channel", "eca"]
Activation = Literal["gelu", "gelu-tanh", "relu", "leaky-relu"]

RELEASED_SCALES = (2, 3)
LARGEST_SCALE = 16

_LARGEST = {
    "scale": LARGEST_SCALE,
    "channels": 4096,
    "blocks": 1024,
    "hidden": 16384,
    "squeeze": 4096,
    "expansion": 64,
}
"""Beyond any network for video, so that a file cannot ask for more memory than a machine has."""

UNSHUFFLE = 2
"""The deep branch works at half the input's height and width."""


@dataclass(frozen=True)
class NetworkConfig:
    """Hyper-parameters of an RT4KSR network. The defaults are those of the released ones.

    Attributes:
        scale: upscaling factor of height and width.
        channels: feature channels C.
        blocks: number of body blocks.
        hidden: channels between the two 1x1 convolutions of a reparameterizable block (2C as released); None: plain 3x3
            convolutions instead, which is also what such blocks are merged into.
        stem: how high frequencies are split off for a branch of their own: not at all, by subtracting 2x2 averages, or
            by subtracting a Gaussian blur (5x5, sigma 1).
        resolution: of the deep features: half, by PixelUnshuffle before the head; full; or half, by average pooling
            after the head and nearest upsampling after the body.
        block: `conv`: convolution, activation; `projected`: the same, then 1x1; `separable`: depthwise 3x3, 1x1 to
            wider, activation, 1x1 back; `naf`: 1x1 to wider, depthwise 3x3, activation, 1x1 back (NAFNet).
        layernorm: a LayerNorm before every block and the tail.
        residual: x + beta * block(x), with a learned beta per channel that begins at 0 (NAFNet).
        attention: of the channels, after the activation of `naf` and `projected` blocks. It reads the whole frame.
        squeeze: for attention `channel`: how many times fewer channels there are between its two layers.
        activation: the only thing that tensors do not tell.
        expansion: for `separable` and `naf`: how many times wider the inside of a block is.
        plain_hfb: a plain 3x3 convolution in the high-frequency branch, also where `hidden` is given.
    """

    scale: int = 2
    channels: int = 24
    blocks: int = 4
    hidden: int | None = 48
    stem: Stem = "none"
    resolution: Resolution = "unshuffle"
    block: Block = "conv"
    layernorm: bool = True
    residual: bool = False
    attention: Attention = "none"
    squeeze: int = 1
    activation: Activation = "gelu"
    expansion: int = 2
    plain_hfb: bool = False

    def __post_init__(self) -> None:
        for name, largest in _LARGEST.items():
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
            if value is not None and value > largest:
                raise ValueError(f"{name} must be at most {largest}, got {value}")
        if self.attention != "none" and self.block not in ("naf", "projected"):
            raise ValueError(f"a {self.block} block has no place for attention; naf and projected have")
        if self.squeeze > 1 and self.attention != "channel":
            raise ValueError("squeeze goes with attention channel")
        if self.inner_channels % self.squeeze:
            raise ValueError(f"{self.inner_channels} channels cannot be squeezed {self.squeeze} times")
        if self.expansion < 2:
            raise ValueError(f"expansion must be at least 2, got {self.expansion}")
        if self.expansion != 2 and self.block not in ("separable", "naf"):
            raise ValueError(f"a {self.block} block has no expansion; hidden sets the width of reparameterizable ones")
        if self.plain_hfb and (self.stem == "none" or self.hidden is None):
            raise ValueError("plain_hfb goes with a high-frequency stem and reparameterizable blocks")

    @property
    def form(self) -> Form:
        return "fused" if self.hidden is None else "training"

    @property
    def high_frequency(self) -> bool:
        """Whether there is a high-frequency branch."""
        return self.stem != "none"

    @property
    def inner_channels(self) -> int:
        """Channels where a block is widest: what its attention weighs."""
        return self.channels * self.expansion if self.block in ("separable", "naf") else self.channels

    @property
    def head_channels(self) -> int:
        """Channels that the head convolution reads."""
        return 3 * self.shuffle**2

    @property
    def shuffle(self) -> int:
        """Factor of the unshuffle before the head; 1: none."""
        return UNSHUFFLE if self.resolution == "unshuffle" else 1

    @property
    def output_channels(self) -> int:
        """Channels before the final pixel shuffle."""
        return 3 * (self.shuffle * self.scale) ** 2

    @property
    def sizes(self) -> SizeRule:
        """Even sizes, as PixelUnshuffle(2) needs; the blur's reflection by 2 needs 3 rows and columns."""
        return SizeRule(UNSHUFFLE, 4 if self.stem == "gaussian" else 2)

    @property
    def whole_frame(self) -> bool:
        """Whether a pixel depends on all others, so that a frame cannot be cut into parts."""
        return self.attention != "none"

    @property
    def released_layout(self) -> bool:
        """Whether the reference code's tensor names can hold it."""
        return (
            self.stem != "pool"
            and (self.resolution, self.block, self.activation) == ("unshuffle", "conv", "gelu")
            and self.layernorm
            and not self.residual
            and not self.plain_hfb
        )


def config_from(fields: Mapping[str, Any], base: NetworkConfig = NetworkConfig()) -> NetworkConfig:
    """`base` with other values for some fields, from a file or a command line.

    Raises:
        ValueError: an unknown field, or a value it cannot have; the message says which.
    """
    known = get_type_hints(NetworkConfig)
    if unknown := fields.keys() - known.keys():
        raise ValueError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name, value in fields.items():
        choices = get_args(known[name])
        if choices and isinstance(choices[0], str) and value not in choices:
            raise ValueError(f"{name} is one of {', '.join(choices)}, not {value!r}")
        kinds = (known[name],) if not choices else (int, type(None)) if name == "hidden" else (str,)
        if type(value) not in kinds:
            raise ValueError(f"{name} cannot be {value!r}")
    return dataclasses.replace(base, **fields)
