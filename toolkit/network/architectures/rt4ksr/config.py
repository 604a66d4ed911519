"""One configuration for every network of the paper's design space, from the first step to the released one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from toolkit.network.architectures.configuration import Configuration, check_sizes
from toolkit.sizes import SizeRule

Form = Literal["training", "fused"]
"""`training`: 1x1-3x3-1x1 blocks with identities; `fused`: each block merged into one 3x3 convolution."""

Stem = Literal["none", "pool", "gaussian"]
Resolution = Literal["unshuffle", "full", "down"]
Block = Literal["conv", "separable", "naf", "projected"]
Attention = Literal["none", "channel", "eca"]
Activation = Literal["gelu", "gelu-tanh", "relu", "leaky-relu"]

RELEASED_SCALES = (2, 3)

LANDMARK = "head.0.weight"
"""A tensor of the reference code's layouts, after what a wrapper added (`module.`, `model.`, `net.`, ...)."""

_LARGEST = {
    "channels": 4096,
    "blocks": 1024,
    "hidden": 16384,
    "squeeze": 4096,
    "expansion": 64,
}
"""See `check_sizes`."""

UNSHUFFLE = 2
"""The deep branch works at half the input's height and width."""


@dataclass(frozen=True)
class NetworkConfig(Configuration):
    """Hyper-parameters of an RT4KSR network. The defaults are those of the released networks.

    Attributes:
        scale: upscaling factor of height and width.
        channels: feature channels C.
        blocks: number of body blocks.
        hidden: channels between the two 1x1 convolutions of a reparameterizable block (2C as released); None: plain 3x3
            convolutions, which is also what such blocks become when they are merged.
        stem: how the input of the high-frequency branch is made: `none`: there is no branch; `pool`: by subtracting 2x2
            averages; `gaussian`: by subtracting a Gaussian blur (5x5, sigma 1).
        resolution: of the deep features: half, by PixelUnshuffle before the head; full; or half, by average pooling
            after the head and nearest upsampling after the body.
        block: `conv`: convolution, activation; `projected`: the same, then 1x1; `separable`: depthwise 3x3, 1x1 to
            wider, activation, 1x1 back; `naf`: 1x1 to wider, depthwise 3x3, activation, 1x1 back (NAFNet).
        layernorm: a LayerNorm before every block and the tail.
        residual: x + beta * block(x), with a learned beta per channel that begins at 0 (NAFNet).
        attention: over the channels, after the activation of `naf` and `projected` blocks. It reads the whole frame.
        squeeze: for attention `channel`: the factor by which the number of channels is reduced between its two layers.
        activation: the only field that the tensors do not determine.
        expansion: for `separable` and `naf`: the factor by which a block widens its channels inside.
        plain_hfb: the high-frequency branch has a plain 3x3 convolution even where `hidden` is given.
        image_residual: the input, each pixel repeated, is added to the output, which is then clipped to 0..1. The
            layers only compute what the enlarged input lacks, so that rounding their values costs less.
    """

    architecture: ClassVar[str] = "rt4ksr"
    later: ClassVar[frozenset[str]] = frozenset({"image_residual"})

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
    image_residual: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, _LARGEST)
        if self.attention != "none" and self.block not in ("naf", "projected"):
            raise ValueError(f"a {self.block} block does not support attention; naf and projected blocks do")
        if self.squeeze > 1 and self.attention != "channel":
            raise ValueError("squeeze requires attention channel")
        if self.inner_channels % self.squeeze:
            raise ValueError(f"{self.inner_channels} channels cannot be squeezed {self.squeeze} times")
        if self.expansion < 2:
            raise ValueError(f"expansion must be at least 2, got {self.expansion}")
        if self.expansion != 2 and self.block not in ("separable", "naf"):
            raise ValueError(f"a {self.block} block has no expansion; hidden sets the width of reparameterizable ones")
        if self.plain_hfb and (self.stem == "none" or self.hidden is None):
            raise ValueError("plain_hfb requires a high-frequency stem and reparameterizable blocks")

    @property
    def form(self) -> Form:
        return "fused" if self.hidden is None else "training"

    @property
    def high_frequency(self) -> bool:
        """Whether there is a high-frequency branch."""
        return self.stem != "none"

    @property
    def inner_channels(self) -> int:
        """Channels where a block is widest, which are those that its attention weighs."""
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
        """Even sizes, as PixelUnshuffle(2) needs, in all of the design space; the Gaussian blur's reflection by 2
        pixels needs at least 3."""
        return SizeRule(UNSHUFFLE, 4 if self.stem == "gaussian" else 2)

    @property
    def whole_frame(self) -> bool:
        """Attention averages over the whole frame."""
        return self.attention != "none"

    def fused(self) -> NetworkConfig:
        """The same network with plain 3x3 convolutions in place of reparameterizable blocks."""
        return replace(self, hidden=None, plain_hfb=False)

    @property
    def released_layout(self) -> bool:
        """Whether the reference code's tensor names can hold it."""
        return (
            self.stem != "pool"
            and (self.resolution, self.block, self.activation) == ("unshuffle", "conv", "gelu")
            and self.layernorm
            and not self.residual
            and not self.plain_hfb
            and not self.image_residual
        )
