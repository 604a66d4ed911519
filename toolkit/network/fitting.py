"""Fitting the last convolution of an untrained network to photographs, by least squares."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.chain import bias
from toolkit.network.module import NetworkModule

_RIDGE = 1e-5
"""Added to the diagonal of the normal equations, as a share of its mean: features that hardly vary would otherwise get
huge weights."""


def fit_last(network: NetworkModule, last: nn.Conv2d, factor: int, low: Tensor, wanted: Tensor) -> None:
    """Replace the last convolution, in place, by the one with the least mean squared error on the patches.

    The convolution is linear in its weights: with the 3x3 neighbourhoods of all pixels as columns of X (and a row of
    ones for the bias) and the wanted outputs as columns of Y, the weights W that minimise |W·X - Y|² solve
    X·Xᵀ·Wᵀ = X·Yᵀ. Both products are summed in float64, patch by patch. `unfold` pads with zeros as the convolution
    does, so the image's border counts too. Wanted is what the pixel shuffle turns into the high-resolution patch.

    Args:
        network: ends in `last` and a pixel shuffle.
        last: 3x3, zero-padded, with bias.
        factor: of the pixel shuffle.
        low: patches (N, 3, H, W) that the network takes as they are, values 0..1.
        wanted: (N, 3, sH, sW): what the pixel shuffle should return.
    """
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    products = low.new_zeros((), dtype=torch.float64)
    targets = products
    with hook, torch.no_grad():
        for image, truth in zip(low, wanted, strict=True):
            network.forward_aligned(image[None])
            columns = functional.unfold(seen.pop(), 3, padding=1)[0].double()
            columns = torch.cat([columns, torch.ones_like(columns[:1])])
            targets_here = functional.pixel_unshuffle(truth, factor).flatten(1).double()
            products = products + columns @ columns.T
            targets = targets + columns @ targets_here.T
        diagonal = products.diagonal()
        diagonal[:-1] += _RIDGE * diagonal[:-1].mean()  # not the bias
        solution = torch.linalg.solve(products, targets).T.to(last.weight.dtype)
        last.weight.copy_(solution[:, :-1].reshape(last.weight.shape))
        bias(last).copy_(solution[:, -1])
