"""What training makes small."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.network.architectures.rt4ksr.frequency import HighPass
from toolkit.network.architectures.rt4ksr.model import RT4KSR
from toolkit.training.config import TrainingConfig

_CHARBONNIER = 1e-3
"""Where the Charbonnier loss bends from a parabola to |d|, of values 0..1."""


class Objective(nn.Module):
    """Loss of the image, plus those of its high frequencies and against a teacher, each with its weight.

    A blur is linear: the high frequencies' difference is the difference's high frequencies, filtered once.
    """

    def __init__(self, config: TrainingConfig, teacher: RT4KSR | None = None) -> None:
        super().__init__()
        self._config = config
        self._teacher = teacher
        self._high_pass = HighPass("gaussian")

    def forward(self, output: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """A scalar, from the network's output for `low` and the truth, both (N, 3, sH, sW) of values 0..1."""
        difference = output.float() - high
        if self._config.loss == "l1":
            total = difference.abs().mean()
        else:
            total = (difference.square() + _CHARBONNIER**2).sqrt().mean()
        if self._config.high_frequency_weight:
            total = total + self._config.high_frequency_weight * self._high_pass(difference).abs().mean()
        if self._teacher is not None and self._config.teacher_weight:
            with torch.no_grad():
                taught = self._teacher(low)
            total = total + self._config.teacher_weight * (output - taught).float().abs().mean()
        return total
