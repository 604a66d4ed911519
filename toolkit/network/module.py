"""The base class of all networks, and of blocks that can be merged into one convolution."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.network.architectures.configuration import Configuration
from toolkit.sizes import reflected_indices


class NetworkModule(nn.Module):
    """A super-resolution network, built from its configuration alone.

    Takes RGB (N, 3, H, W), values nominally 0..1, any H, W >= 1; returns (N, 3, scale·H, scale·W), not clamped. Sizes
    that `forward_aligned` does not take are extended by reflection, and the result is cropped.
    """

    config: Configuration

    def __init__(self, config: Configuration) -> None:
        super().__init__()
        self.config = config

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        rows, columns = (self.config.sizes.padded(size) for size in (height, width))
        if (rows, columns) == (height, width):
            return self.forward_aligned(x)
        x = x[..., reflected_indices(height, rows), :][..., reflected_indices(width, columns)]
        return self.forward_aligned(x)[..., : height * self.config.scale, : width * self.config.scale]

    def forward_aligned(self, x: Tensor) -> Tensor:
        """The network proper, which is what is exported. H and W are as `config.sizes` says."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(self.parameters()).dtype


class MergeableBlock(nn.Module):
    """A block of several convolutions that computes the same function as one zero-padded convolution of stride 1.

    (N, I, H, W) to (N, O, H, W).

    Attributes:
        merge_first: compute `merged()` and that one convolution instead of the block itself. Gradients reach all
            weights of the block through it. See `fusion.train_through_merge`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.merge_first = False

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (O, I, k, k), k odd, and bias (O,) of the convolution with padding k // 2 that equals this block.

        It must equal it everywhere, at the border too: `proof.prove_block` checks that. In the block's own dtype,
        differentiable. What is exported is merged in float64: `fusion.merged_kernel`.
        """
        raise NotImplementedError


def parameter_count(network: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in network.parameters())


def numpy_function(
    network: nn.Module, precision: Literal["float32", "float64"], threads: int = 0
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A copy of `network` in this dtype as a function of arrays: (N, 3, H, W) to (N, 3, sH, sW).

    In float64 it is the reference that every other form of the network is compared with.

    Args:
        network: any module with one input and one output.
        precision: to compute in.
        threads: of the CPU; 0: as many as PyTorch has at the time of the call. The number is restored on return.
    """
    dtype: torch.dtype = getattr(torch, precision)
    copied = copy.deepcopy(network).to(dtype).eval()

    def function(image: NDArray[Any]) -> NDArray[Any]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads or before)
        try:
            with torch.inference_mode():
                result: NDArray[Any] = copied(torch.from_numpy(np.array(image, order="C")).to(dtype)).numpy()
        finally:
            torch.set_num_threads(before)
        return result

    return function
