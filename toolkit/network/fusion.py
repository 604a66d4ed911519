"""Merging the blocks of a network: several convolutions and identities become one convolution.

Why a chain 1x1 - 3x3 - 1x1 with identities is one 3x3 convolution, borders included, is explained where such a block is
defined (`ReparameterizableBlock`) and checked by `proof`. Here blocks are merged in float64 and put in their place.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from toolkit.network.module import MergeableBlock, NetworkModule

N = TypeVar("N", bound=NetworkModule)


def merged_kernel(block: MergeableBlock) -> tuple[Tensor, Tensor]:
    """The one zero-padded convolution that equals `block` everywhere, border included.

    Returns:
        weight (O, I, k, k) and bias (O,), float64. Computed on a copy, because a merge in place on `state_dict()`,
        whose tensors are views of the network's own, changes the network that the result is compared with. In float64,
        because products of three weights that are summed over hundreds of channels in float32 lose more than the
        rounding of the result, which is all that an exported kernel may lose (`impulses.ROUNDING_BOUND`).
    """
    with torch.no_grad():
        return copy.deepcopy(block).double().merged()


def fuse_block(block: MergeableBlock) -> nn.Conv2d:
    """`block` as one zero-padded convolution, merged in float64 and rounded once to the block's own dtype."""
    weight, bias = merged_kernel(block)
    return as_convolution(weight, bias).to(next(block.parameters()).dtype)


def as_convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """The convolution with this kernel, odd in size, and zero padding that keeps height and width; in their dtype."""
    outputs, inputs, size, _ = weight.shape
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, dtype=weight.dtype)
    convolution.load_state_dict({"weight": weight, "bias": bias})
    return convolution


def fuse(network: N) -> N:
    """A new network in fused form with the same function; `network` keeps every byte. Fused networks are copied."""
    blocks = mergeable_blocks(network)
    tensors = {
        name: tensor.detach()
        for name, tensor in network.state_dict().items()
        if not any(name.startswith(f"{block}.") for block in blocks)
    }
    for name, block in blocks.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in fuse_block(block).state_dict().items()}
    fused = type(network)(network.config.fused()).to(network.dtype)
    fused.load_state_dict(tensors)
    return fused.train(network.training)


def mergeable_blocks(network: nn.Module) -> dict[str, MergeableBlock]:
    """Blocks that can be merged, by module name, in order of definition."""
    return {name: module for name, module in network.named_modules() if isinstance(module, MergeableBlock)}


def train_through_merge(network: nn.Module, enabled: bool = True) -> None:
    """Let every mergeable block compute its merged convolution: same function and gradients, less work.

    The kernel is computed from the block's weights in each forward pass, and gradients flow back through that
    computation. It is small, because it does not depend on the image's size.
    """
    for block in mergeable_blocks(network).values():
        block.merge_first = enabled
