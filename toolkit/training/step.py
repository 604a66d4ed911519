"""One iteration: forward, backward, and the update of weights and their average."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import InputError
from toolkit.network.module import NetworkModule
from toolkit.training.config import TrainingConfig
from toolkit.training.losses import Objective
from toolkit.training.processes import Processes, placed
from toolkit.training.sampling import Batch
from toolkit.training.schedule import learning_rate
from toolkit.training.state import TrainingState
from toolkit.training.trainees import trainee_of


@dataclass(frozen=True)
class Outcome:
    """Result of an iteration, over all processes.

    Attributes:
        loss: mean over all patches.
        norm: of the gradient, before clipping. Where it or the loss is not finite, nothing was updated.
        stop: whether any process asked to stop after this iteration.
    """

    loss: float
    norm: float
    stop: bool

    @property
    def finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.norm)


class Step:
    """Carries out iterations on a training state."""

    def __init__(self, config: TrainingConfig, processes: Processes) -> None:
        self._config, self._processes = config, processes
        device = processes.device
        teacher = trainee_of(config).teacher()
        if teacher is not None:
            teacher = placed(teacher.eval().requires_grad_(False), device)
        self._objective = placed(Objective(config, teacher), device)
        self._precision = resolved_precision(config, device)
        self._loss: Callable[..., Any] = torch.compile(_loss, dynamic=False) if config.compile else _loss

    def __call__(self, state: TrainingState, batch: Batch, stop: bool) -> Outcome:
        """One iteration on this process's part of a batch. `stop`: whether this process asks to stop after it."""
        low, high = on_device(batch, self._processes.device)
        state.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss = self._loss(state.network, self._objective, low, high)
        state.scaler.scale(loss).backward()
        parameters = [parameter for parameter in state.network.parameters() if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        shared = torch.stack([loss.detach(), loss.new_tensor(float(stop))])
        self._processes.average([*gradients, shared])
        state.scaler.unscale_(state.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._config.clip or math.inf)
        mean_loss, stops, size = torch.cat([shared, norm[None]]).tolist()
        if self._precision == "fp16" and not math.isfinite(size):
            size = 0.0  # overflow of scaled gradients: the scaler skips this update and lowers its scale
        outcome = Outcome(mean_loss, size, stops > 0)
        if outcome.finite:
            self._update(state)
        return outcome

    def _update(self, state: TrainingState) -> None:
        iteration = state.progress.iteration
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(self._config, iteration)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        # A smaller decay at first, so that the average does not contain the initial random weights for thousands of
        # steps.
        decay = min(self._config.ema, (1 + iteration) / (10 + iteration))
        with torch.no_grad():
            averages: list[Tensor] = list(state.average.parameters())
            weights: list[Tensor] = list(state.network.parameters())
            torch._foreach_lerp_(averages, weights, 1 - decay)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == "fp32":
            return nullcontext()
        return torch.autocast("cuda", torch.bfloat16 if self._precision == "bf16" else torch.float16)


def _loss(network: NetworkModule, objective: Objective, low: Tensor, high: Tensor) -> Tensor:
    loss: Tensor = objective(network(low), low, high)
    return loss


def on_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Both kinds of patches as float32 (N, 3, H, W), values 0..1, in channels-last memory format."""
    cuda = device.type == "cuda"
    made = []
    for pixels in (batch.low, batch.high):
        tensor = torch.from_numpy(pixels)
        tensor = tensor.pin_memory() if cuda else tensor
        made.append(tensor.to(device, non_blocking=cuda).permute(0, 3, 1, 2).float() / 255)
    return made[0], made[1]


def resolved_precision(config: TrainingConfig, device: torch.device) -> str:
    """The precision of activations: `fp32`, `bf16` or `fp16`, with `auto` resolved for the device.

    Raises:
        InputError: half precision without CUDA.
    """
    if config.precision == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
    if config.precision != "fp32" and device.type != "cuda":
        raise InputError(f"precision {config.precision} is for CUDA", "Leave --precision at auto.")
    return config.precision
