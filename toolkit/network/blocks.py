"""Building blocks of RT4KSR. Layouts of other people's checkpoints are translated to these names in layouts.py."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LAYER_NORM_EPSILON = 1e-6


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
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(channels, hidden, 1)
        self.spatial = nn.Conv2d(hidden, hidden, 3)
        self.reduce = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        # Expanding a zero-padded input leaves exactly the bias in the border.
        expanded = self.expand(functional.pad(x, (1, 1, 1, 1)))
        residual: Tensor = self.reduce(self.spatial(expanded) + expanded[..., 1:-1, 1:-1])
        return residual + x


def residual_block(channels: int, hidden: int | None) -> nn.Module:
    """A block in training form or, when `hidden` is None, in fused form: one zero-padded 3x3 convolution."""
    if hidden is None:
        return nn.Conv2d(channels, channels, 3, padding=1)
    return ReparameterizableBlock(channels, hidden)


class BodyBlock(nn.Module):
    """LayerNorm, residual block, GELU (exact, erf): RT4KSR's simplified NAFNet block, (N, C, H, W) to the same."""

    def __init__(self, channels: int, hidden: int | None) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.conv = residual_block(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.conv(self.norm(x)))


class Tail(nn.Module):
    """LayerNorm and a last residual block, no activation, (N, C, H, W) to the same."""

    def __init__(self, channels: int, hidden: int | None) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.conv = residual_block(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(self.norm(x))
        return features


class HighFrequencyBranch(nn.Module):
    """Residual block and GELU on the head's view of the high frequencies, (N, C, H, W) to the same."""

    def __init__(self, channels: int, hidden: int | None) -> None:
        super().__init__()
        self.conv = residual_block(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.conv(x))


class HighPass(nn.Module):
    """x - blur(x) with a 5x5 Gaussian, sigma 1, reflected at the border, (N, 3, H, W) to the same; H, W >= 3.

    The kernel is torchvision's GaussianBlur(5, sigma=1), which the reference code uses, without torchvision.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.exp(-0.5 * torch.arange(-2, 3, dtype=torch.float64) ** 2)
        taps /= taps.sum()
        kernel = torch.outer(taps, taps).to(torch.get_default_dtype()).expand(3, 1, 5, 5).contiguous()
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x - functional.conv2d(functional.pad(x, (2, 2, 2, 2), mode="reflect"), self.kernel, groups=3)
