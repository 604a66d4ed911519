"""The weights a run begins with: random ones, arranged so that the network upscales before it has learned anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.rt4ksr.blocks import (
    ConvBlock,
    LayerNorm2d,
    NafBlock,
    ReparameterizableBlock,
    Tail,
    bias,
)
from toolkit.network.architectures.rt4ksr.model import RT4KSR

FITTED_PATCHES = 64
"""Enough for the fit of the largest preset."""

_SHIFT = 4.0
"""Added to pixels before an activation: there GELU and its relatives are straight lines."""

_CONTRAST = 3.0
"""Standard deviations of pixel features are about a quarter of it: small against `_SHIFT`, large enough for bf16."""

_ANCHOR = 12.0
"""A constant channel, large against all others, by which LayerNorm divides by nearly the same number everywhere."""

_SPREAD = 0.3
"""Standard deviation of random features."""

_FEWEST_SPARE = 3
"""Channels that are not pixels, without which there is nothing to arrange."""

_RIDGE = 1e-5
"""Added to the diagonal of the normal equations, as a share of its mean."""

_FLAT = 1e-6
"""A standard deviation below this is taken for it."""

Convolution = nn.Conv2d | ReparameterizableBlock


def fitted_start(network: RT4KSR, low: Tensor, high: Tensor) -> None:
    """Rearrange random weights, in place, and fit the last convolution to photographs.

    Where nothing skips the blocks, a randomly initialised network first spends thousands of iterations on learning to
    hand on what it sees. Here the first channels hand on the pixels, two more hand on constants that LayerNorm's
    subtraction and division can be undone with, and the rest stay random. The last convolution is the least-squares
    solution for the patches given.

    Args:
        network: in training form, in float32, with PyTorch's initial weights.
        low, high: patches (N, 3, H, W) and (N, 3, sH, sW), values 0..1; H and W even.
    """
    with torch.no_grad():
        if network.config.high_frequency:
            network.gamma.fill_(1)
        if network.config.channels - network.config.head_channels >= _FEWEST_SPARE:
            _hand_on(network, low)
        _fit_last(network, low, high)


def _hand_on(network: RT4KSR, low: Tensor) -> None:
    """Each module is changed when its input first comes by, as the modules before it have left that."""
    pixels = network.config.head_channels
    carried, anchor = pixels + 2, pixels
    zero = torch.zeros(network.config.channels, device=low.device)
    plain, lifted = zero.clone(), zero.clone()
    lifted[:carried] = _SHIFT
    plain[anchor] = lifted[anchor] = _ANCHOR
    changes: dict[nn.Module, Callable[[Tensor], None]] = {
        network.head: partial(_open_head, network.head, plain=plain, pixels=pixels),
        **_changes(network.tail, zero, zero, carried),
    }
    for block in network.body:
        changes |= _changes(block, plain, lifted, carried)
    for module, change in changes.items():
        _when_first_run(module, change)
    network.forward_even(low)


def _changes(
    block: nn.Module, plain: Tensor, lifted: Tensor, carried: int
) -> dict[nn.Module, Callable[[Tensor], None]]:
    """How norm and convolutions of a block come to hand on channels, lifted to where activations are lines."""
    last = "conv" if isinstance(block, ConvBlock | Tail) else "depthwise" if isinstance(block, NafBlock) else "widen"
    changes: dict[nn.Module, Callable[[Tensor], None]] = {}
    for name, module in block.named_children():
        if isinstance(module, LayerNorm2d):
            changes[module] = partial(_settle_norm, module, carried=carried)
        elif isinstance(module, Convolution):
            levels = lifted if name == last else plain
            changes[module] = partial(_pass_on, module, levels=levels, carried=carried)
    return changes


def _when_first_run(module: nn.Module, change: Callable[[Tensor], None]) -> None:
    def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        handle.remove()
        change(inputs[0])

    handle = module.register_forward_pre_hook(hook)


def _open_head(head: nn.Conv2d, seen: Tensor, plain: Tensor, pixels: int) -> None:
    """Pixels, the constants, and random filters of one strength."""
    free = pixels + 2
    head.weight[:free] = 0
    head.weight[range(pixels), range(pixels), 1, 1] = _CONTRAST
    filtered = functional.conv2d(seen, head.weight[free:], padding=1)
    head.weight[free:] *= (_SPREAD / filtered.std((0, 2, 3)))[:, None, None, None]
    _level(head, seen, plain)


def _settle_norm(norm: LayerNorm2d, features: Tensor, carried: int) -> None:
    """Undo the division, on average, for what is handed on; give the rest one strength; centre all."""
    normalised = norm(features)
    norm.weight[:carried] = features.std(1, correction=0).mean()
    norm.weight[carried:] = _SPREAD / normalised[:, carried:].std((0, 2, 3)).clamp_min(_FLAT)
    norm.bias.sub_(norm(features).mean((0, 2, 3)))


def _pass_on(conv: Convolution, features: Tensor, levels: Tensor, carried: int) -> None:
    """The first output channels become those of the input, and all get the mean asked for."""
    if isinstance(conv, ReparameterizableBlock):
        conv.reduce.weight[:carried] = 0  # its outer identity is left
    else:
        sources = [0] * carried if conv.groups > 1 else range(carried)
        middle = conv.weight.shape[-1] // 2
        conv.weight[:carried] = 0
        conv.weight[range(carried), sources, middle, middle] = 1
    _level(conv, features, levels)


def _level(conv: Convolution, features: Tensor, levels: Tensor) -> None:
    """Choose the biases by which the output channels have these means; there may be more channels, which get 0."""
    last = conv.reduce if isinstance(conv, ReparameterizableBlock) else conv
    means = conv(features).mean((0, 2, 3))
    bias(last).sub_(means)
    bias(last)[: len(levels)] += levels


def _fit_last(network: RT4KSR, low: Tensor, high: Tensor) -> None:
    """Solve for the last convolution that makes the mean squared error of the patches least.

    In float64, from the means and products of what it sees; the image's border, where it sees zeros, included.
    """
    factor = network.config.shuffle * network.config.scale
    last = network.upsample
    seen: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    products = low.new_zeros((), dtype=torch.float64)
    targets = products
    with hook:
        for image, truth in zip(low, high, strict=True):
            network.forward_even(image[None])
            columns = functional.unfold(seen.pop(), 3, padding=1)[0].double()
            columns = torch.cat([columns, torch.ones_like(columns[:1])])  # what the bias is multiplied with
            wanted = functional.pixel_unshuffle(truth, factor).flatten(1).double()
            products = products + columns @ columns.T
            targets = targets + columns @ wanted.T
    diagonal = products.diagonal()
    diagonal[:-1] += _RIDGE * diagonal[:-1].mean()
    solution = torch.linalg.solve(products, targets).T.to(last.weight.dtype)
    last.weight.copy_(solution[:, :-1].reshape(last.weight.shape))
    bias(last).copy_(solution[:, -1])
