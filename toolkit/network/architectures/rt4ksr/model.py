"""RT4KSR: the released network and its relatives, in training and fused form."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from toolkit.network.architectures.rt4ksr.blocks import BLOCKS, HighFrequencyBranch, Tail
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.frequency import Halve, HighPass
from toolkit.sizes import reflected_indices


class RT4KSR(nn.Module):
    """Super-resolution network of Zamfir, Conde, Timofte, "Towards Real-Time 4K Image Super-Resolution", CVPRW 2023.

    Takes RGB (N, 3, H, W), values nominally 0..1, any H, W >= 1; returns (N, 3, scale*H, scale*W), not clamped.
    Odd and tiny sizes are extended by reflection and the result is cropped.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Conv2d(config.head_channels, config.channels, 3, padding=1)
        if config.resolution == "down":
            self.halve = Halve(config.channels)
        self.body = nn.Sequential(*(BLOCKS[config.block](config) for _ in range(config.blocks)))
        self.tail = Tail(config)
        self.upsample = nn.Conv2d(config.channels, config.output_channels, 3, padding=1)
        if config.stem != "none":
            # The released layout has no place for the kernel.
            self.high_pass = HighPass(config.stem, stored=not config.released_layout)
            self.gamma = nn.Parameter(torch.zeros(1))
            self.hfb = HighFrequencyBranch(config)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        rows, columns = (self.config.sizes.padded(size) for size in (height, width))
        if (rows, columns) == (height, width):
            return self.forward_even(x)
        x = x[..., reflected_indices(height, rows), :][..., reflected_indices(width, columns)]
        return self.forward_even(x)[..., : height * self.config.scale, : width * self.config.scale]

    def forward_even(self, x: Tensor) -> Tensor:
        """The network proper: H and W as `config.sizes` says."""
        deep = self.deep(self._shallow(x))
        if self.config.high_frequency:
            deep = self.gamma * deep + self.hfb(self._shallow(self.high_pass(x)))
        return functional.pixel_shuffle(self.upsample(self.tail(deep)), self.config.shuffle * self.config.scale)

    def deep(self, shallow: Tensor) -> Tensor:
        """Deep features, (N, C, H', W') to the same, at the resolution the configuration says."""
        if self.config.resolution != "down":
            features: Tensor = self.body(shallow)
            return features
        return functional.interpolate(self.body(self.halve(shallow)), scale_factor=2, mode="nearest")

    def _shallow(self, x: Tensor) -> Tensor:
        """The head's features, of the image and of its high frequencies alike."""
        unshuffled = x if self.config.shuffle == 1 else functional.pixel_unshuffle(x, self.config.shuffle)
        features: Tensor = self.head(unshuffled)
        return features


def parameter_count(network: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in network.parameters())


def untrained_network(config: NetworkConfig, seed: int = 0) -> RT4KSR:
    """A network with PyTorch's default initialisation from `seed`; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RT4KSR(config).eval()


def numpy_function(
    network: RT4KSR, precision: Literal["float32", "float64"], threads: int = 0
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A copy of `network` in this dtype as a function of arrays: (N, 3, H, W) to (N, 3, sH, sW).

    In float64 it is the truth that everything is measured against. `threads`: of the processor; 0: as many as PyTorch
    has now. It has that number again when the function returns.
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
