"""Building blocks of RT4KSR. Layouts of other people's checkpoints are translated to these names in layouts.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.rt4ksr.attention import attention
from toolkit.network.architectures.rt4ksr.config import Activation, NetworkConfig

LAYER_NORM_EPSILON = float(np.float32(1e-6))
"""A float32 number, like all of a network's constants: in float64 it is the same network, to the last digit."""

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


class ReparameterizableBlock(nn.Module):
    """Training form: 1x1 expand, 3x3 with an inner identity, 1x1 reduce, and an outer identity.

    (N, C, H, W) to the same shape. The 3x3 sees the expand convolution's bias, not zero, outside the image; that is
    what makes the merge into one zero-padded 3x3 exact at the border too.

    Attributes:
        merge_first: compute the same function as one 3x3 convolution whose kernel is made from the three on the way.
            Gradients reach all three through it, for about a third of the work. See `fusion.train_through_merge`.
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
        # Expanding a zero-padded input leaves exactly the bias in the border.
        expanded = self.expand(functional.pad(x, (1, 1, 1, 1)))
        residual: Tensor = self.reduce(self.spatial(expanded) + expanded[..., 1:-1, 1:-1])
        return residual + x

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (C, C, 3, 3) and bias (C,) of the one zero-padded convolution that equals this block everywhere.

        In the block's own dtype, differentiable. What ships is merged in float64: `fusion.merged_kernel`.
        """
        expand, reduce = self.expand.weight[:, :, 0, 0], self.reduce.weight[:, :, 0, 0]
        inner = self.spatial.weight + _identity_kernel(self.spatial.weight)
        # The small matrices first: two products of (C, 2C) with (2C, 2C) per tap.
        weight = torch.einsum("om,mnyx,ni->oiyx", reduce, inner, expand)
        biases = bias(self.expand), bias(self.spatial), bias(self.reduce)
        merged_bias = reduce @ (inner.sum(dim=(2, 3)) @ biases[0] + biases[1]) + biases[2]
        return weight + _identity_kernel(weight), merged_bias


def bias(conv: nn.Conv2d) -> Tensor:
    """The bias of a convolution that has one."""
    if conv.bias is None:
        raise ValueError("a reparameterizable block has biases")
    return conv.bias


def _identity_kernel(like: Tensor) -> Tensor:
    kernel = torch.zeros_like(like, requires_grad=False)
    kernel[..., 1, 1] = torch.eye(like.shape[0], dtype=like.dtype, device=like.device)
    return kernel


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
        """What kinds of blocks differ in."""
        raise NotImplementedError


class ConvBlock(Block):
    """3x3 or reparameterizable convolution, activation: with LayerNorm, RT4KSR's simplified NAFNet block."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.conv = residual_block(config.channels, config.hidden)

    def mix(self, x: Tensor) -> Tensor:
        return self._activation(self.conv(x))


class ProjectedBlock(ConvBlock):
    """The step before it: after the activation, [attention] and a last 1x1 convolution."""

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
    """[LayerNorm] and a last residual block, no activation, (N, C, H, W) to the same."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.norm = LayerNorm2d(config.channels) if config.layernorm else nn.Identity()
        self.conv = residual_block(config.channels, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(self.norm(x))
        return features


class HighFrequencyBranch(nn.Module):
    """Residual block and activation on the head's view of the high frequencies, (N, C, H, W) to the same."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.conv = residual_block(config.channels, None if config.plain_hfb else config.hidden)
        self._activation = _ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self._activation(self.conv(x))
