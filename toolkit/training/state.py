"""The state of a training run, from which it resumes as if it had never stopped, and the file that holds it."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from toolkit.errors import CheckpointError, InputError
from toolkit.network.module import NetworkModule
from toolkit.network.reading import config_key, read_objects
from toolkit.system.atomic import write_bytes
from toolkit.system.documents import from_json
from toolkit.training.config import TrainingConfig
from toolkit.training.processes import placed
from toolkit.training.soap import Soap
from toolkit.training.trainees import trainee_of

STATE_FILE = "last.pth"
_FORMAT = 1


class TrainingProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run has come.

    Attributes:
        iteration: finished optimizer steps.
        validated: the iteration validated last; -1: none.
        best: the best validation PSNR so far in dB, and when; None: none yet.
        photos: fingerprint of the photographs it was trained on.
    """

    iteration: int = 0
    validated: int = -1
    best: float | None = None
    best_iteration: int = 0
    photos: str = ""


@dataclass
class TrainingState:
    """What changes while training. `average` is the moving average of the weights of `network`."""

    network: NetworkModule
    average: NetworkModule
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    progress: TrainingProgress


def new_state(config: TrainingConfig, device: torch.device) -> TrainingState:
    """The state before the first iteration: weights from `config.init`, or random ones from `config.seed`.

    Raises:
        CheckpointError: `config.init` cannot be read, or is of another network.
    """
    network = placed(trainee_of(config).network(), device).train()
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = _optimizer(network, config, device)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    return TrainingState(network, average, optimizer, scaler, TrainingProgress())


def _optimizer(network: NetworkModule, config: TrainingConfig, device: torch.device) -> torch.optim.Optimizer:
    betas = (config.beta1, config.beta2)
    if config.optimizer == "soap":
        return Soap(network.parameters(), config.learning_rate, betas)
    return torch.optim.Adam(network.parameters(), config.learning_rate, betas, fused=device.type in ("cpu", "cuda"))


def save_state(state: TrainingState, config: TrainingConfig, path: Path) -> None:
    """Write everything into one file, atomically: plain tensors and JSON, nothing that runs code when it is loaded."""
    content = {
        "format": _FORMAT,
        "progress": msgspec.json.encode(state.progress).decode(),
        "training": config.to_json(),
        config_key(config.network.architecture): json.dumps(config.network.fields(), sort_keys=True),
        "network": state.network.state_dict(),
        "ema": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    write_bytes(path, stream.getvalue())


def load_state(path: Path, config: TrainingConfig, device: torch.device) -> tuple[TrainingState, TrainingConfig]:
    """The state in a file, and the configuration of the run that wrote it.

    Args:
        path: of a file that `save_state` wrote.
        config: of the run that resumes; its network must be the same.

    Raises:
        CheckpointError: the file is damaged, or is not a training state.
        InputError: the state is of another network or optimizer.
    """
    try:
        content = read_objects(path)
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']} is not {_FORMAT}")
        progress = from_json(content["progress"], TrainingProgress)
        before = type(config).from_json(content["training"])
    except (CheckpointError, KeyError, TypeError, ValueError) as error:
        raise _no_state(path, error) from error
    if before.network != config.network:
        raise InputError(f"{path} is the state of another network: {before.network}", "Choose another --output.")
    if before.optimizer != config.optimizer:
        raise InputError(
            f"{path} is the state of --optimizer {before.optimizer}", f"Resume with --optimizer {before.optimizer}."
        )
    state = new_state(msgspec.structs.replace(config, init=""), device)
    try:
        state.network.load_state_dict(content["network"])
        state.average.load_state_dict(content["ema"])
        state.optimizer.load_state_dict(content["optimizer"])
        if content["scaler"] and state.scaler.is_enabled():
            state.scaler.load_state_dict(content["scaler"])
    except Exception as error:  # PyTorch has no error of its own for contents that do not fit
        raise _no_state(path, error) from error
    for group in state.optimizer.param_groups:
        group["betas"] = (config.beta1, config.beta2)
    state.progress = progress
    return state, before


def _no_state(path: Path, error: Exception) -> CheckpointError:
    first_line = next(iter((str(error) or type(error).__name__).strip().splitlines()))
    return CheckpointError(
        f"{path} is not the state of a training run ({first_line[:160]})",
        "Delete it to start again from the beginning, or start with the weights beside it: --init last.safetensors.",
    )
