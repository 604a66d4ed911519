"""Channel attention: each channel is multiplied by a weight that depends on the means of all channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.rt4ksr.config import NetworkConfig


class ChannelAttention(nn.Module):
    """Mean over the frame, 1x1 to fewer channels, ReLU, 1x1 back, sigmoid (Hu et al., CVPR 2018), times the input."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // squeeze, 1)
        self.excite = nn.Conv2d(channels // squeeze, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean(dim=(2, 3), keepdim=True)))))


class EfficientChannelAttention(nn.Module):
    """Mean over the frame, one small convolution along the channels, sigmoid (ECA, Wang et al., CVPR 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = eca_kernel_size(channels)
        # Along the channels of (N, 1, C, 1). As a 2-D convolution, because not every runtime has 1-D ones.
        self.conv = nn.Conv2d(1, 1, (size, 1), padding=(size // 2, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.conv(x.mean(dim=(2, 3), keepdim=True).transpose(1, 2))
        return x * torch.sigmoid(weights.transpose(1, 2))


def eca_kernel_size(channels: int) -> int:
    """The ECA paper's choice: (log2(C) + 1) / 2, truncated, and the next odd number where that is even."""
    size = int(abs(math.log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


def attention(config: NetworkConfig) -> nn.Module:
    """The attention module of a configuration; the identity where it has none."""
    if config.attention == "channel":
        return ChannelAttention(config.inner_channels, config.squeeze)
    if config.attention == "eca":
        return EfficientChannelAttention(config.inner_channels)
    return nn.Identity()
