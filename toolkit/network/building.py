"""Networks from configurations."""

from __future__ import annotations

import torch

from toolkit.network.architectures.configuration import Configuration
from toolkit.network.architectures.registry import architecture_of
from toolkit.network.module import NetworkModule


def untrained_network(config: Configuration, seed: int = 0) -> NetworkModule:
    """A network with PyTorch's default initialisation from `seed`; the global random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: NetworkModule = architecture_of(config).build(config)
        return network.eval()
