"""Compact: a chain of 3x3 convolutions whose result is added to the enlarged input."""

from __future__ import annotations

from typing import cast

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.compact.config import CompactConfig
from toolkit.network.filters import repeated
from toolkit.network.module import NetworkModule


class Compact(NetworkModule):
    """`SRVGGNetCompact` (Wang et al., "Real-ESRGAN", ICCVW 2021). Tensors have the names of the published code."""

    config: CompactConfig

    def __init__(self, config: CompactConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = [nn.Conv2d(3, config.channels, 3, padding=1), _activation(config)]
        for _ in range(config.convolutions):
            layers += [nn.Conv2d(config.channels, config.channels, 3, padding=1), _activation(config)]
        layers.append(nn.Conv2d(config.channels, 3 * config.scale**2, 3, padding=1))
        self.body = nn.Sequential(*layers)

    def forward_aligned(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.body(x), self.config.scale) + repeated(x, self.config.scale)

    @property
    def last(self) -> nn.Conv2d:
        """The convolution before the pixel shuffle."""
        return cast(nn.Conv2d, self.body[-1])


def _activation(config: CompactConfig) -> nn.Module:
    if config.prelu:
        return nn.PReLU(config.channels, config.slope)
    # Exactly a float32 number, as all constants are, so that the network in float64 has the same one.
    return nn.LeakyReLU(float(np.float32(config.slope))) if config.slope else nn.ReLU()
