"""Splitting off high frequencies, and halving resolution: fixed filters, as convolutions that hold their kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.rt4ksr.config import Stem


class HighPass(nn.Module):
    """x minus its low frequencies, (N, 3, H, W) to the same.

    `gaussian`: blurred with a 5x5 Gaussian, sigma 1, reflected at the border; H, W >= 3. The kernel is torchvision's
    GaussianBlur(5, sigma=1), which the reference code uses, without torchvision.
    `pool`: averages of 2x2 pixels, repeated; H, W even.

    `stored`: keep the kernel among the network's tensors, from which the stem is then recognised.
    """

    kernel: Tensor

    def __init__(self, stem: Stem = "gaussian", *, stored: bool = False) -> None:
        super().__init__()
        self.stem = stem
        kernel = _averaging_kernel(3) if stem == "pool" else _gaussian_kernel()
        self.register_buffer("kernel", kernel, persistent=stored)

    def forward(self, x: Tensor) -> Tensor:
        if self.stem == "pool":
            low = functional.conv2d(x, self.kernel, stride=2, groups=3)
            return x - functional.interpolate(low, scale_factor=2, mode="nearest")
        return x - functional.conv2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), self.kernel, groups=3)


class Halve(nn.Module):
    """Averages of 2x2 pixels, (N, C, H, W) to (N, C, H/2, W/2). The stored kernel is what `down` is recognised by."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("kernel", _averaging_kernel(channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.kernel, stride=2, groups=self.kernel.shape[0])


def _gaussian_kernel() -> Tensor:
    taps = torch.exp(-0.5 * torch.arange(-2, 3, dtype=torch.float64) ** 2)
    taps /= taps.sum()
    return torch.outer(taps, taps).to(torch.get_default_dtype()).expand(3, 1, 5, 5).contiguous()


def _averaging_kernel(channels: int) -> Tensor:
    return torch.full((channels, 1, 2, 2), 0.25)
