"""The loss that training minimises."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.network.filters import gaussian_kernel, without_blur
from toolkit.training.config import Loss, TrainingConfig

_CHARBONNIER = 1e-3
"""The difference, of values 0..1, at which the Charbonnier loss sqrt(d² + c²) turns from a parabola into |d|."""


class Objective(nn.Module):
    """Weighted sum of the loss of the image, that of its high frequencies, and that against a teacher's output.

    A blur is linear, so the difference of two images' high frequencies is the high frequencies of their difference:
    one filter instead of two.
    """

    kernel: Tensor

    def __init__(self, config: TrainingConfig, teacher: nn.Module | None = None) -> None:
        super().__init__()
        self._config = config
        self._teacher = teacher
        self.register_buffer("kernel", gaussian_kernel(), persistent=False)

    def forward(self, output: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            output: of the network for `low`, (N, 3, scale·H, scale·W), values nominally 0..1.
            low: what the teacher sees, (N, 3, H, W), values 0..1.
            high: the original, of the size of `output`, values 0..1.
        """
        config, difference = self._config, output.float() - high
        total = _mean(config.loss, difference)
        if config.high_frequency_weight:
            total = total + config.high_frequency_weight * without_blur(difference, self.kernel).abs().mean()
        if self._teacher is not None and config.teacher_weight:
            with torch.no_grad():
                target = self._teacher(low)
            total = total + config.teacher_weight * _mean(config.teacher_loss, (output - target).float())
        return total


def _mean(loss: Loss, difference: Tensor) -> Tensor:
    if loss == "l1":
        return difference.abs().mean()
    if loss == "l2":
        return difference.square().mean()
    return (difference.square() + _CHARBONNIER**2).sqrt().mean()
