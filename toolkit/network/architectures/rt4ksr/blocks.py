"""Building blocks of RT4KSR. `layouts` translates the tensor names of the reference code to those used here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.rt4ksr.attention import attention
from toolkit.network.architectures.rt4ksr.config import Activation, NetworkConfig
from toolkit.network.chain import identity_kernel, merged_chain
from toolkit.network.module import MergeableBlock

LAYER_NORM_EPSILON = float(np.float32(1e-6))
"""Exactly a float32 number, as all constants of the network are, so that the network in float64 has the same ones."""

_LEAKY_SLOPE = float(np.float32(0.1))

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu-tanh": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
    "leaky-relu": partial(functional.leaky_relu, negative_slope=_LEAKY_SLOPE),
}


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of every pixel, (N, C, H, W) to the same shape (NAFNet's LayerNorm2d).

    Variance is the biased one. Written with elementary operations because `var_mean` has no compact ONNX form.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=1, keepdim=True)
        deviation = ((centred * centred).mean(dim=1, keepdim=True) + LAYER_NORM_EPSILON).sqrt()
        return centred / deviation * self.weight[:, None, None] + self.bias[:, None, None]


class ReparameterizableBlock(MergeableBlock):
    """Training form: 1x1 expand, 3x3 with an inner identity, 1x1 reduce, and an outer identity.

    (N, C, H, W) to the same shape. Without borders, a chain of convolutions is one convolution, because each is linear
    and they commute with shifts. At a border that holds only if every convolution of the chain sees there what it would
    see if the *input* were extended by zeros. So the input is padded, not the expanded features: E(0) = b, the expand
    convolution's bias, is then what surrounds them. Zero-padding the features instead would lose S·b at the border,
    which a single bias cannot reproduce, since it differs between the interior, edges, and corners.

    `merge_first` takes about a third of the work.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, hidden, 1)
        self.spatial = nn.Conv2d(hidden, hidden, 3)
        self.reduce = nn.Conv2d(hidden, channels, 1)
        self.merge_first = False

    def forward(self, x: Tensor) -> Tensor:
        if self.merge_first:
            return functional.conv2d(x, *self.merged(), padding=1)
        # 1x1 of a zero-padded input: the padding becomes the bias, as the merged convolution implies.
        expanded = self.expand(functional.pad(x, (1, 1, 1, 1)))
        residual: Tensor = self.reduce(self.spatial(expanded) + expanded[..., 1:-1, 1:-1])
        return residual + x

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (C, C, 3, 3) and bias (C,) of the one zero-padded convolution that equals this block everywhere.

        The chain with the inner identity (see `chain.merged_chain`), and the outer identity I: R·(S + I)·E + I.
        """
        weight, merged_bias = merged_chain(self.expand, self.spatial, self.reduce, inner=True)
        return weight + identity_kernel(weight), merged_bias


def residual_block(channels: int, hidden: int | None) -> ReparameterizableBlock | nn.Conv2d:
    """A block in training form or, when `hidden` is None, in fused form: one zero-padded 3x3 convolution."""
    if hidden is None:
        return nn.Conv2d(channels, channels, 3, padding=1)
    return ReparameterizableBlock(channels, hidden)


class Block(nn.Module):
    """[LayerNorm], then `mix`, then [x + beta * that], (N, C, H, W) to the same."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.norm = LayerNorm2d(config.channels) if config.layernorm else nn.Identity()
        self.beta = nn.Parameter(torch.zeros(config.channels)) if config.residual else None
        self._activation = _ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.mix(self.norm(x))
        return mixed if self.beta is None else x + mixed * self.beta[:, None, None]

    def mix(self, x: Tensor) -> Tensor:
        """The part in which kinds of blocks differ, (N, C, H, W) to the same."""
        raise NotImplementedError


class ConvBlock(Block):
    """3x3 or reparameterizable convolution, activation: with LayerNorm, RT4KSR's simplified NAFNet block."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.conv = residual_block(config.channels, config.hidden)

    def mix(self, x: Tensor) -> Tensor:
        return self._activation(self.conv(x))


class ProjectedBlock(ConvBlock):
    """The step before `ConvBlock`: after the activation, [attention] and a last 1x1 convolution."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.attention = attention(config)
        self.project = nn.Conv2d(config.channels, config.channels, 1)

    def mix(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.project(self.attention(super().mix(x)))
        return mixed


class SeparableBlock(Block):
    """Depthwise 3x3, 1x1 to more channels, activation, 1x1 back."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.depthwise = nn.Conv2d(config.channels, config.channels, 3, padding=1, groups=config.channels)
        self.widen = nn.Conv2d(config.channels, config.inner_channels, 1)
        self.project = nn.Conv2d(config.inner_channels, config.channels, 1)

    def mix(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.project(self._activation(self.widen(self.depthwise(x))))
        return mixed


class NafBlock(Block):
    """1x1 to more channels, depthwise 3x3, activation, [attention], 1x1 back (after NAFNet, Chen et al., ECCV 2022)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        inner = config.inner_channels
        self.widen = nn.Conv2d(config.channels, inner, 1)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.attention = attention(config)
        self.project = nn.Conv2d(inner, config.channels, 1)

    def mix(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.project(self.attention(self._activation(self.depthwise(self.widen(x)))))
        return mixed


BLOCKS = {"conv": ConvBlock, "projected": ProjectedBlock, "separable": SeparableBlock, "naf": NafBlock}


class Tail(nn.Module):
    """[LayerNorm] and a last residual block without activation, (N, C, H, W) to the same."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.norm = LayerNorm2d(config.channels) if config.layernorm else nn.Identity()
        self.conv = residual_block(config.channels, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(self.norm(x))
        return features


class HighFrequencyBranch(nn.Module):
    """Residual block and activation on the head's features of the high frequencies, (N, C, H, W) to the same."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.conv = residual_block(config.channels, None if config.plain_hfb else config.hidden)
        self._activation = _ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self._activation(self.conv(x))
