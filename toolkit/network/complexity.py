"""Parameters and multiply-adds of a configuration, without weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from toolkit.network.architectures.configuration import Configuration
from toolkit.network.architectures.registry import architecture_of
from toolkit.network.fusion import fuse
from toolkit.network.module import NetworkModule, parameter_count
from toolkit.workloads import Shape


@dataclass(frozen=True)
class Complexity:
    """Size and work of a network.

    Attributes:
        parameters: trainable scalars.
        fused_parameters: after merging.
        multiply_adds: of all convolutions of the fused network, for one frame. Norms, activations and data movement,
            which take as long on most hardware, are not counted.
    """

    parameters: int
    fused_parameters: int
    multiply_adds: int


def complexity(config: Configuration, shape: Shape) -> Complexity:
    """Count for a frame of `shape`. Nothing is computed: tensors are on the meta device."""
    network: NetworkModule = architecture_of(config).build(config).eval()
    fused = fuse(network).to("meta")
    frame = torch.empty(1, 3, *shape.sides, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        fused(frame)
    # PyTorch counts a multiply-add as two operations.
    return Complexity(parameter_count(network), parameter_count(fused), counter.get_total_flops() // 2)
