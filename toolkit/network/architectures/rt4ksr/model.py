"""RT4KSR: the released network and its relatives, in training and fused form."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.rt4ksr.blocks import BLOCKS, HighFrequencyBranch, Tail
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.frequency import Halve, HighPass
from toolkit.network.filters import repeated
from toolkit.network.module import NetworkModule


class RT4KSR(NetworkModule):
    """Super-resolution network of Zamfir, Conde, Timofte, "Towards Real-Time 4K Image Super-Resolution", CVPRW 2023."""

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.head = nn.Conv2d(config.head_channels, config.channels, 3, padding=1)
        if config.resolution == "down":
            self.halve = Halve(config.channels)
        self.body = nn.Sequential(*(BLOCKS[config.block](config) for _ in range(config.blocks)))
        self.tail = Tail(config)
        self.upsample = nn.Conv2d(config.channels, config.output_channels, 3, padding=1)
        if config.stem != "none":
            # Files in the released layout have no name for the kernel, so it is stored only in our own layout.
            self.high_pass = HighPass(config.stem, stored=not config.released_layout)
            self.gamma = nn.Parameter(torch.zeros(1))
            self.hfb = HighFrequencyBranch(config)

        if config.image_residual:
            # Nothing reads it: it says in files what no other tensor does.
            self.register_buffer("image_residual", torch.ones(()))

    def forward_aligned(self, x: Tensor) -> Tensor:
        deep = self.deep(self._shallow(x))
        if self.config.high_frequency:
            deep = self.gamma * deep + self.hfb(self._shallow(self.high_pass(x)))
        config = self.config
        made = functional.pixel_shuffle(self.upsample(self.tail(deep)), config.shuffle * config.scale)
        return (made + repeated(x, config.scale)).clamp(0, 1) if config.image_residual else made

    def deep(self, shallow: Tensor) -> Tensor:
        """Deep features, (N, C, H', W') to the same shape; H', W' as `config.resolution` says."""
        if self.config.resolution != "down":
            features: Tensor = self.body(shallow)
            return features
        return functional.interpolate(self.body(self.halve(shallow)), scale_factor=2, mode="nearest")

    def _shallow(self, x: Tensor) -> Tensor:
        """Features of the head, which the image and its high frequencies share: (N, 3, H, W) to (N, C, H', W')."""
        unshuffled = x if self.config.shuffle == 1 else functional.pixel_unshuffle(x, self.config.shuffle)
        features: Tensor = self.head(unshuffled)
        return features
