"""One iteration, against the plain definition of everything in float64."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from photographs import picture
from samples import SMALL, network, save_safetensors
from scipy.ndimage import correlate1d

from toolkit.errors import CheckpointError, InputError
from toolkit.training.config import TrainingConfig
from toolkit.training.degradation import degrade
from toolkit.training.losses import Objective
from toolkit.training.processes import Processes
from toolkit.training.sampling import Batch
from toolkit.training.schedule import learning_rate
from toolkit.training.state import new_state
from toolkit.training.step import Step, resolved_precision

CPU = torch.device("cpu")


def batch(seed: int) -> Batch:
    high = np.stack([picture(24, 24, 10 * seed + index) for index in range(4)])
    return Batch(degrade(high, 2), high)


def high_frequencies(images: np.ndarray) -> np.ndarray:
    taps = np.exp(-0.5 * np.arange(-2, 3) ** 2.0)
    taps /= taps.sum()
    # SciPy's "mirror" is the reflection that does not repeat the edge pixel.
    return images - correlate1d(correlate1d(images, taps, 2, mode="mirror"), taps, 3, mode="mirror")


LOSSES = {
    "l1": lambda difference: np.abs(difference).mean(),
    "charbonnier": lambda difference: np.sqrt(difference**2 + 1e-6).mean(),
    "l2": lambda difference: (difference**2).mean(),
}


@pytest.mark.parametrize(("loss", "taught_by"), [("l1", "l2"), ("charbonnier", "l1"), ("l2", "charbonnier")])
def test_the_loss_is_what_it_is_said_to_be(loss: str, taught_by: str, config: TrainingConfig) -> None:
    output, high, taught = np.random.default_rng(0).random((3, 2, 3, 12, 10)).astype(np.float32)
    config = msgspec.structs.replace(config, loss=loss, high_frequency_weight=0.7)
    config = msgspec.structs.replace(config, teacher_weight=0.3, teacher_loss=taught_by)
    unchanged = torch.nn.Identity()
    objective = Objective(config, unchanged)  # type: ignore[arg-type]
    found = objective(torch.from_numpy(output), torch.from_numpy(taught), torch.from_numpy(high)).item()
    difference = output.astype(np.float64) - high
    split = high_frequencies(output.astype(np.float64)) - high_frequencies(high.astype(np.float64))
    expected = LOSSES[loss](difference) + 0.7 * np.abs(split).mean()
    expected += 0.3 * LOSSES[taught_by](output.astype(np.float64) - taught)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("merge", "compiled"), [(True, False), (False, False), pytest.param(True, True, marks=pytest.mark.slow)]
)
def test_iterations_are_adam_with_clipping_and_an_average(merge: bool, compiled: bool, config: TrainingConfig) -> None:
    """Four of them, through merged kernels and fused kernels, against the formulas on the unmerged network."""
    config = msgspec.structs.replace(
        config,
        merge=merge,
        compile=compiled,
        clip=0.25,
        ema=0.3,
        beta1=0.8,
        beta2=0.95,
        warmup=2,
        high_frequency_weight=0.0,
    )
    state, step = new_state(config, CPU), Step(config, Processes(CPU))
    reference = copy.deepcopy(state.network).double()
    for module in reference.modules():
        if hasattr(module, "merge_first"):
            module.merge_first = False
    weights = list(reference.parameters())
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    averages = [weight.detach().clone() for weight in weights]
    for iteration in range(4):
        made = batch(iteration)
        outcome = step(state, made, False)
        state.progress = msgspec.structs.replace(state.progress, iteration=iteration + 1)
        low, high = (torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255 for pixels in (made.low, made.high))
        loss = (reference(low) - high).abs().mean()
        gradients = torch.autograd.grad(loss, weights)
        norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
        assert outcome.loss == pytest.approx(float(loss.detach()), rel=1e-5)
        assert outcome.norm == pytest.approx(norm, rel=1e-4)
        assert norm > config.clip
        for index, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            clipped = gradient * config.clip / norm
            means[index] = 0.8 * means[index] + 0.2 * clipped
            squares[index] = 0.95 * squares[index] + 0.05 * clipped**2
            mean, square = means[index] / (1 - 0.8 ** (iteration + 1)), squares[index] / (1 - 0.95 ** (iteration + 1))
            with torch.no_grad():
                weight -= learning_rate(config, iteration) * mean / (square.sqrt() + 1e-8)
            decay = min(0.3, (1 + iteration) / (10 + iteration))
            averages[index] = decay * averages[index] + (1 - decay) * weight.detach()
    for found, expected in zip(state.network.parameters(), weights, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)
    for found, expected in zip(state.average.parameters(), averages, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)
    assert not any(parameter.requires_grad for parameter in state.average.parameters())


def test_a_teacher_that_is_the_network_itself_adds_nothing(config: TrainingConfig, tmp_path: Path) -> None:
    """And both are given as files; what is left is the loss against the truth, in which the teacher has no part."""
    weights = save_safetensors(tmp_path / "weights.safetensors", network(SMALL))
    config = msgspec.structs.replace(config, network=SMALL, init=str(weights))
    made = batch(0)
    alone = Step(config, Processes(CPU))(new_state(config, CPU), made, False)
    config = msgspec.structs.replace(config, teacher=str(weights), teacher_weight=10.0)
    taught = Step(config, Processes(CPU))(new_state(config, CPU), made, False)
    assert taught.loss == pytest.approx(alone.loss, abs=1e-4)
    other = save_safetensors(tmp_path / "other.safetensors", network(SMALL, seed=1))
    config = msgspec.structs.replace(config, teacher=str(other))
    assert Step(config, Processes(CPU))(new_state(config, CPU), made, False).loss > alone.loss + 0.1


def test_a_file_of_another_network_is_refused(config: TrainingConfig, tmp_path: Path) -> None:
    weights = str(save_safetensors(tmp_path / "weights.safetensors", network(SMALL)))
    with pytest.raises(CheckpointError, match="is to be trained"):
        new_state(msgspec.structs.replace(config, init=weights), CPU)
    config = msgspec.structs.replace(config, teacher=weights, network=dataclasses.replace(SMALL, scale=3))
    with pytest.raises(CheckpointError, match="scale"):
        Step(config, Processes(CPU))


def test_half_precision_is_for_cuda(config: TrainingConfig) -> None:
    assert resolved_precision(config, CPU) == "fp32"
    with pytest.raises(InputError, match="is for CUDA"):
        resolved_precision(msgspec.structs.replace(config, precision="bf16"), CPU)
