"""SPAN: blocks of three convolutions whose result weighs itself, in training and fused form."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.span.config import SPANConfig
from toolkit.network.chain import bias, merged_chain
from toolkit.network.module import MergeableBlock, NetworkModule

_DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean red, green and blue of DIV2K's training images, as the published code has them."""


class Conv3XC(MergeableBlock):
    """Training form of a 3x3 convolution: 1x1 to more channels, 3x3, 1x1 back, plus a 1x1 skip.

    (N, I, H, W) to (N, O, H, W). The input is padded with zeros once, before the chain, whose 3x3 has no padding: so
    each tap of it sees the first convolution's bias outside the image, and the merged bias is the same everywhere (see
    `chain.merged_chain`). The skip reads no neighbour, so it is not concerned.
    """

    def __init__(self, inputs: int, outputs: int, gain: int) -> None:
        super().__init__()
        self.sk = nn.Conv2d(inputs, outputs, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inputs * gain, 1),
            nn.Conv2d(inputs * gain, outputs * gain, 3),
            nn.Conv2d(outputs * gain, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.merge_first:
            return functional.conv2d(x, *self.merged(), padding=1)
        result: Tensor = self.conv(functional.pad(x, (1, 1, 1, 1))) + self.sk(x)
        return result

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (O, I, 3, 3) and bias (O,) of the one zero-padded convolution that equals this block everywhere."""
        expand, spatial, reduce = cast(list[nn.Conv2d], list(self.conv))
        weight, merged_bias = merged_chain(expand, spatial, reduce, inner=False)
        skip = functional.pad(self.sk.weight, (1, 1, 1, 1))  # at the centre of the kernel
        return weight + skip, merged_bias + bias(self.sk)


def _convolution(inputs: int, outputs: int, gain: int | None) -> nn.Module:
    """A 3x3 convolution in training form or, when `gain` is None, in fused form."""
    return nn.Conv2d(inputs, outputs, 3, padding=1) if gain is None else Conv3XC(inputs, outputs, gain)


class Block(nn.Module):
    """Three convolutions with SiLU after the first two. The result r weighs itself and the input x: (r + x)·a(r)."""

    def __init__(self, channels: int, gain: int | None) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (_convolution(channels, channels, gain) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to the result and the activated first convolution, both of the same shape.

        The attention a(r) = sigmoid(r) - 1/2 is odd and has no parameters.
        """
        inner = functional.silu(self.c1_r(x))
        result = self.c3_r(functional.silu(self.c2_r(inner)))
        return (result + x) * (torch.sigmoid(result) - 0.5), inner


class SPAN(NetworkModule):
    """Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPRW 2024.

    The last convolution reads a 1x1 mixture of the first features, the convolved result of the last block, that of the
    first block, and the inner features of the last block after their activation: the published code activates them in
    place before it returns them. Modules have its names.
    """

    config: SPANConfig
    mean: Tensor

    def __init__(self, config: SPANConfig) -> None:
        super().__init__(config)
        channels, gain = config.channels, config.gain
        if not config.norm:
            self.register_buffer("no_norm", torch.zeros(1))  # by which such weights are recognised
        elif config.mean == "div2k":
            self.register_buffer("mean", torch.tensor(_DIV2K_MEAN)[:, None, None], persistent=False)
        self.conv_1 = _convolution(3, channels, gain)
        for number in range(config.blocks):
            self.add_module(f"block_{number + 1}", Block(channels, gain))
        self.conv_cat = nn.Conv2d(4 * channels, channels, 1)
        self.conv_2 = _convolution(channels, channels, gain)
        self.upsampler = nn.Sequential(nn.Conv2d(channels, 3 * config.scale**2, 3, padding=1))

    def forward_aligned(self, x: Tensor) -> Tensor:
        first = features = self.conv_1(self.normalised(x))
        results, inner = [], features
        for number in range(self.config.blocks):
            features, inner = self.get_submodule(f"block_{number + 1}")(features)
            results.append(features)
        mixed = self.conv_cat(torch.cat([first, self.conv_2(features), results[0], inner], 1))
        return functional.pixel_shuffle(self.upsampler(mixed), self.config.scale)

    @property
    def last(self) -> nn.Conv2d:
        """The convolution before the pixel shuffle."""
        return cast(nn.Conv2d, self.upsampler[0])

    def normalised(self, x: Tensor) -> Tensor:
        """The input as the first convolution takes it, (N, 3, H, W)."""
        if not self.config.norm:
            return x
        centred = x - self.mean if self.config.mean == "div2k" else x
        return centred * self.config.image_range
