"""Merging reparameterizable blocks: 1x1, 3x3, 1x1 and two identities are one 3x3 convolution."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from toolkit.network.architectures.rt4ksr.blocks import ReparameterizableBlock
from toolkit.network.architectures.rt4ksr.model import RT4KSR


def merged_kernel(block: ReparameterizableBlock) -> tuple[Tensor, Tensor]:
    """The single 3x3 convolution that equals `block` everywhere, border included.

    Returns:
        weight (C, C, 3, 3) and bias (C,), float64. The block's own tensors are only read: a float32 merge, or one done
        in place on state_dict views, is wrong by far more than the function itself.
    """
    with torch.no_grad():
        return copy.deepcopy(block).double().merged()


def fuse_block(block: ReparameterizableBlock) -> nn.Conv2d:
    """`block` as one zero-padded convolution, merged in float64 and rounded once to the block's own dtype."""
    weight, bias = merged_kernel(block)
    fused = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, dtype=block.expand.weight.dtype)
    fused.load_state_dict({"weight": weight, "bias": bias})
    return fused


def fuse(network: RT4KSR) -> RT4KSR:
    """A new network in fused form with the same function; `network` keeps every byte. Fused networks are copied."""
    blocks = reparameterizable_blocks(network)
    tensors = {
        name: tensor.detach()
        for name, tensor in network.state_dict().items()
        if not any(name.startswith(f"{block}.") for block in blocks)
    }
    for name, block in blocks.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in fuse_block(block).state_dict().items()}
    fused = RT4KSR(replace(network.config, hidden=None, plain_hfb=False)).to(network.head.weight.dtype)
    fused.load_state_dict(tensors)
    return fused.train(network.training)


def reparameterizable_blocks(network: nn.Module) -> dict[str, ReparameterizableBlock]:
    """Mergeable blocks by module name, in order of definition."""
    return {name: module for name, module in network.named_modules() if isinstance(module, ReparameterizableBlock)}


def train_through_merge(network: nn.Module, enabled: bool = True) -> None:
    """Let every reparameterizable block compute its merged convolution: same function and gradients, less work."""
    for block in reparameterizable_blocks(network).values():
        block.merge_first = enabled
