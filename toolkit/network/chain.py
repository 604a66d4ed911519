"""Chains of a 1x1, a 3x3 and a 1x1 convolution as one 3x3 convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def merged_chain(expand: nn.Conv2d, spatial: nn.Conv2d, reduce: nn.Conv2d, *, inner: bool) -> tuple[Tensor, Tensor]:
    """Weight (O, I, 3, 3) and bias (O,) of the convolution that equals a chain whose input is padded with zeros.

    With E, S, R the three weights and e, s, r their biases, the chain is R·(S·(E·x + e) + s) + r, so the kernel is
    R·S·E and the bias R·(ΣS·e + s) + r, where Σ sums over the nine taps: each of them sees e, inside the image and
    outside, where E·0 + e is e. That holds at the border only because the input is padded and not the expanded
    features. In the dtype of the weights, differentiable.

    Args:
        expand: 1x1, with bias.
        spatial: 3x3 without padding, with bias.
        reduce: 1x1, with bias.
        inner: whether an identity is added to the 3x3 convolution, which then is S + I.
    """
    widened, narrowed = expand.weight[:, :, 0, 0], reduce.weight[:, :, 0, 0]
    middle = spatial.weight + identity_kernel(spatial.weight) if inner else spatial.weight
    # Contracted from left to right: reduce by spatial per tap first, which keeps the intermediate result small.
    weight = torch.einsum("om,mnyx,ni->oiyx", narrowed, middle, widened)
    return weight, narrowed @ (middle.sum(dim=(2, 3)) @ bias(expand) + bias(spatial)) + bias(reduce)


def bias(conv: nn.Conv2d) -> Tensor:
    """The bias of a convolution that has one."""
    if conv.bias is None:
        raise ValueError("a reparameterizable block has biases")
    return conv.bias


def identity_kernel(like: Tensor) -> Tensor:
    """The kernel (C, C, 3, 3) that returns its input, in the dtype and on the device of `like`, of the same shape."""
    kernel = torch.zeros_like(like, requires_grad=False)
    kernel[..., 1, 1] = torch.eye(like.shape[0], dtype=like.dtype, device=like.device)
    return kernel
