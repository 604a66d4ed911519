"""The inputs of RT4KSR's high-frequency branch and of its `down` resolution: fixed filters as convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.rt4ksr.config import Stem
from toolkit.network.filters import gaussian_kernel, without_blur


class HighPass(nn.Module):
    """x minus its low frequencies, (N, 3, H, W) to the same.

    Args:
        stem: `gaussian`: minus a 5x5 Gaussian blur, sigma 1, reflected at the border; H, W >= 3. `pool`: minus averages
            of 2x2 pixels, repeated; H, W even.
        stored: keep the kernel among the network's tensors, from which the stem is recognised.
    """

    kernel: Tensor

    def __init__(self, stem: Stem = "gaussian", *, stored: bool = False) -> None:
        super().__init__()
        self.stem = stem
        kernel = _averaging_kernel(3) if stem == "pool" else gaussian_kernel()
        self.register_buffer("kernel", kernel, persistent=stored)

    def forward(self, x: Tensor) -> Tensor:
        if self.stem == "pool":
            low = functional.conv2d(x, self.kernel, stride=2, groups=3)
            return x - functional.interpolate(low, scale_factor=2, mode="nearest")
        return without_blur(x, self.kernel)


class Halve(nn.Module):
    """Averages of 2x2 pixels, (N, C, H, W) to (N, C, H/2, W/2). From its stored kernel, resolution `down` is
    recognised."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("kernel", _averaging_kernel(channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.kernel, stride=2, groups=self.kernel.shape[0])


def _averaging_kernel(channels: int) -> Tensor:
    return torch.full((channels, 1, 2, 2), 0.25)
