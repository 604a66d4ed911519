"""Initial weights with which an RT4KSR network upscales before it has learned anything.

Released RT4KSR blocks have no skip connections. A randomly initialised network of them destroys the image, and spends
thousands of iterations on learning to pass it through. The start avoids that in three steps.

1. *The first channels carry the pixels.* Their convolutions become identities. Two things in a block would still
   distort them: the activation and LayerNorm.
2. *Activations are avoided by a shift.* GELU and its relatives are straight lines for inputs well above 0. So before an
   activation a bias adds `_SHIFT` to pixel channels, whose spread is small against it, and the next bias removes it.
3. *LayerNorm is made reversible.* It maps the channels x of a pixel to (x - m)/s, with mean m and deviation s over the
   channels, which differ from pixel to pixel: two unknowns. Two more channels carry constants. What has become of them
   tells m and s, so that a later layer can undo both. One of them, the anchor, is large against all other channels, so
   that m and s hardly differ between pixels and a linear layer undoes them nearly exactly.

The other channels keep random filters, scaled to one strength. Finally the last convolution is fitted to photographs by
least squares: it reads the pixels and the random features, and is the best upscaler that is linear in them.
"""

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
)
from toolkit.network.architectures.rt4ksr.model import RT4KSR
from toolkit.network.chain import bias
from toolkit.network.filters import repeated
from toolkit.network.fitting import fit_last

_SHIFT = 4.0
"""Added to pixel channels before an activation. GELU(x) differs from x by 1e-4 at 4, by 4e-3 at 3."""

_CONTRAST = 3.0
"""Factor on pixels, whose standard deviation is about 1/4: then small against `_SHIFT`, and large enough that bf16,
with 8 bits, resolves grey levels on top of it."""

_ANCHOR = 12.0
"""Value of the large constant channel: it dominates mean and deviation, so LayerNorm divides by nearly the same number
at every pixel."""

_SPREAD = 0.3
"""Standard deviation of the random features."""

_FEWEST_SPARE = 3
"""Channels needed beside those of the pixels: two constants and a random feature. With fewer, only the last layer is
fitted."""

_FLAT = 1e-6
"""Smallest standard deviation that is divided by."""

Convolution = nn.Conv2d | ReparameterizableBlock


def fitted_start(network: RT4KSR, low: Tensor, high: Tensor) -> None:
    """Rearrange random weights, in place, and fit the last convolution to photographs. See the module's docstring.

    Args:
        network: in training form, in float32, with PyTorch's initial weights.
        low, high: patches (N, 3, H, W) and (N, 3, sH, sW), values 0..1; H and W even.
    """
    with torch.no_grad():
        if network.config.high_frequency:
            network.gamma.fill_(1)  # 0, its initial value, would block the deep features
        if network.config.channels - network.config.head_channels >= _FEWEST_SPARE:
            _carry_pixels(network, low)
        # Last, because the fit needs the features that the changed network computes.
        fit_upsample(network, low, high)


def fit_upsample(network: RT4KSR, low: Tensor, high: Tensor) -> None:
    """Fit the last convolution, in place, to what it should add. Arguments as for `fitted_start`."""
    config = network.config
    wanted = high - repeated(low, config.scale) if config.image_residual else high
    fit_last(network, network.upsample, config.shuffle * config.scale, low, wanted)


def _carry_pixels(network: RT4KSR, low: Tensor) -> None:
    """Steps 1 to 3. How a module is changed depends on the statistics of its input, which depend on all modules before
    it. So each is changed by a hook at the moment when its input first arrives, in a single forward pass."""
    # Channels in order: pixels, the anchor, the second constant (0, or `_SHIFT` before an activation), random features.
    pixels = network.config.head_channels
    carried, anchor = pixels + 2, pixels
    # Mean of every output channel of a convolution: at the end of the tail, elsewhere, and before an activation.
    zero = torch.zeros(network.config.channels, device=low.device)
    # Before an activation all carried channels are shifted, except the anchor, which is far above 0 anyway.
    plain, lifted = zero.clone(), zero.clone()
    lifted[:carried] = _SHIFT
    plain[anchor] = lifted[anchor] = _ANCHOR
    changes: dict[nn.Module, Callable[[Tensor], None]] = {
        network.head: partial(_open_head, network.head, plain=plain, pixels=pixels),
        **_changes(network.tail, zero, zero, carried),
    }
    for block in network.body:
        changes |= _changes(block, plain, lifted, carried)
    # One pass is enough: a module runs only after those before it were changed, so each sees its final input.
    for module, change in changes.items():
        _before_first_run(module, change)
    network.forward_aligned(low)


def _changes(
    block: nn.Module, plain: Tensor, lifted: Tensor, carried: int
) -> dict[nn.Module, Callable[[Tensor], None]]:
    """How the norm and the convolutions of a block are changed so that the first `carried` channels pass.

    Args:
        block: of the body, or the tail.
        plain, lifted: means of the output channels of a convolution, and of the one before the activation.
        carried: number of channels.
    """
    # The convolution whose output the activation sees; in the tail, which has none, the only one.
    last = "conv" if isinstance(block, ConvBlock | Tail) else "depthwise" if isinstance(block, NafBlock) else "widen"
    changes: dict[nn.Module, Callable[[Tensor], None]] = {}
    for name, module in block.named_children():
        if isinstance(module, LayerNorm2d):
            changes[module] = partial(_settle_norm, module, carried=carried)
        elif isinstance(module, Convolution):
            levels = lifted if name == last else plain
            changes[module] = partial(_pass_on, module, levels=levels, carried=carried)
    return changes


def _before_first_run(module: nn.Module, change: Callable[[Tensor], None]) -> None:
    """Call `change` with the module's input before it runs for the first time."""

    def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        handle.remove()  # first: `change` may run the module itself, which would call the hook again
        change(inputs[0])

    handle = module.register_forward_pre_hook(hook)


def _open_head(head: nn.Conv2d, seen: Tensor, plain: Tensor, pixels: int) -> None:
    """Change the head to pixels (its input channels), the two constants, and random filters of one strength."""
    free = pixels + 2
    head.weight[:free] = 0  # the constants are biases only
    head.weight[range(pixels), range(pixels), 1, 1] = _CONTRAST
    # Random filters respond to images with very different strength; the fit needs features of comparable size.
    filtered = functional.conv2d(seen, head.weight[free:], padding=1)
    head.weight[free:] *= (_SPREAD / filtered.std((0, 2, 3)))[:, None, None, None]
    _level(head, seen, plain)


def _settle_norm(norm: LayerNorm2d, features: Tensor, carried: int) -> None:
    """Choose a norm's weights, which undo the division on average for the channels that pass and give the others one
    strength, and its biases, which make all means 0."""
    normalised = norm(features)
    # `std` over the channels of every pixel is what the norm divides by; multiply by its mean.
    norm.weight[:carried] = features.std(1, correction=0).mean()
    norm.weight[carried:] = _SPREAD / normalised[:, carried:].std((0, 2, 3)).clamp_min(_FLAT)
    # After the weights: they scale the mean that the biases remove.
    norm.bias.sub_(norm(features).mean((0, 2, 3)))


def _pass_on(conv: Convolution, features: Tensor, levels: Tensor, carried: int) -> None:
    """Make the first output channels copies of the first input channels, and give all channels the mean in `levels`."""
    if isinstance(conv, ReparameterizableBlock):
        # The block adds its input to its result, so with a result of 0 the channels pass unchanged.
        conv.reduce.weight[:carried] = 0
    else:
        # A depthwise convolution has one input channel per output channel.
        sources = [0] * carried if conv.groups > 1 else range(carried)
        middle = conv.weight.shape[-1] // 2
        conv.weight[:carried] = 0
        conv.weight[range(carried), sources, middle, middle] = 1
    _level(conv, features, levels)


def _level(conv: Convolution, features: Tensor, levels: Tensor) -> None:
    """Choose the biases so that the output channels have these means for these features; channels beyond them get 0."""
    last = conv.reduce if isinstance(conv, ReparameterizableBlock) else conv
    # A bias shifts its own channel only, so one measurement of the means corrects all of them exactly.
    means = conv(features).mean((0, 2, 3))
    bias(last).sub_(means)
    bias(last)[: len(levels)] += levels
