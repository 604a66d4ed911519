"""What a configuration costs, before it is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.model import RT4KSR, parameter_count
from toolkit.network.fusion import fuse
from toolkit.workloads import Shape


@dataclass(frozen=True)
class Complexity:
    """Size and work of a network.

    Attributes:
        parameters: trainable scalars.
        fused_parameters: after merging.
        multiply_adds: of all convolutions of the fused network, for one frame. Norms, activations and data movement,
            which take as long on most hardware, are not in it.
    """

    parameters: int
    fused_parameters: int
    multiply_adds: int


def complexity(config: NetworkConfig, shape: Shape) -> Complexity:
    """Count for a frame of `shape`; nothing is computed."""
    network = RT4KSR(config).eval()
    fused = fuse(network).to("meta")
    frame = torch.empty(1, 3, *shape.sides, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        fused(frame)
    # An operation is a multiplication or an addition.
    return Complexity(parameter_count(network), parameter_count(fused), counter.get_total_flops() // 2)
