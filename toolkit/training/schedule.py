"""The learning rate as a function of the iteration."""

from __future__ import annotations

import math

from toolkit.training.config import TrainingConfig

_MILESTONES = (0.2, 0.4, 0.6, 0.8)
"""Shares of the run after which the step schedule halves the learning rate, as in the training of the released
networks."""


def learning_rate(config: TrainingConfig, iteration: int) -> float:
    """The learning rate of the step after `iteration` finished ones, 0 <= iteration < config.iterations."""
    if iteration < config.warmup:
        return config.learning_rate * (iteration + 1) / config.warmup
    if config.schedule == "step":
        passed = sum(iteration >= share * config.iterations for share in _MILESTONES)
        return config.learning_rate * 0.5**passed
    progress = (iteration - config.warmup) / (config.iterations - config.warmup)
    height = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + height * (1 + math.cos(math.pi * progress)) / 2
