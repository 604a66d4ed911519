"""SOAP, by what distinguishes it from Adam: it does not see the basis that weights are written in."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from toolkit.training.soap import Soap

STEPS = 25
BETAS = (0.9, 0.95)


def gradients(shape: tuple[int, ...]) -> list[Tensor]:
    """As of a network: the same directions are strong again and again."""
    generator = torch.Generator().manual_seed(0)
    strengths = torch.linspace(0.1, 3, shape[-1], dtype=torch.float64)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) * strengths for _ in range(STEPS)]


def followed(start: Tensor, given: list[Tensor], optimizer: type[Soap] | type[torch.optim.Adam]) -> Tensor:
    parameter = nn.Parameter(start.clone())
    steps = optimizer([parameter], lr=0.01, betas=BETAS)
    for gradient in given:
        parameter.grad = gradient.clone()
        steps.step()
    return parameter.detach()


def rotation(size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q


def test_vectors_take_adams_steps() -> None:
    start, given = torch.ones(5, dtype=torch.float64), gradients((5,))
    assert torch.allclose(followed(start, given, Soap), followed(start, given, torch.optim.Adam), atol=1e-7)


def test_turned_gradients_give_the_turned_result() -> None:
    """Not so Adam, which is what makes this test able to fail."""
    start, given = torch.zeros(6, 6, dtype=torch.float64), gradients((6, 6))
    left, right = rotation(6, 1), rotation(6, 2)
    turned = [left @ gradient @ right for gradient in given]
    away = {}
    for optimizer in (Soap, torch.optim.Adam):
        expected = left @ followed(start, given, optimizer) @ right
        away[optimizer] = (followed(start, turned, optimizer) - expected).abs().max().item()
    assert away[Soap] < 1e-6 < 0.01 < away[torch.optim.Adam]


def test_convolutions_are_matrices_of_their_output_channels() -> None:
    start, given = torch.zeros(4, 3, 3, 3, dtype=torch.float64), gradients((4, 27))
    as_kernel = followed(start, [gradient.reshape(4, 3, 3, 3) for gradient in given], Soap)
    assert torch.equal(as_kernel.flatten(1), followed(start.flatten(1), given, Soap))


def test_the_first_step_of_a_matrix_measures_only() -> None:
    start, given = torch.zeros(4, 6, dtype=torch.float64), gradients((4, 6))
    assert not followed(start, given[:1], Soap).any()
    assert followed(start, given[:2], Soap).abs().max() > 0.001


@pytest.mark.parametrize("steps", [1, 10, 12])
def test_its_state_goes_on_to_the_bit(steps: int) -> None:
    given = gradients((4, 6))
    whole = nn.Parameter(torch.zeros(4, 6, dtype=torch.float64))
    optimizer = Soap([whole], lr=0.01, betas=BETAS)
    for count, gradient in enumerate(given):
        if count == steps:
            resumed = nn.Parameter(whole.detach().clone())
            again = Soap([resumed], lr=0.5, betas=(0.0, 0.0))
            again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        whole.grad = gradient.clone()
        optimizer.step()
        if count >= steps:
            resumed.grad = gradient.clone()
            again.step()
    assert torch.equal(whole, resumed)


def test_it_gets_down_a_narrow_valley_sooner() -> None:
    """|L (W - T) R|², curved 1000 times more in some directions, none of them an axis."""
    scales = torch.logspace(0, -1.5, 6, dtype=torch.float64)
    left, right = (rotation(6, seed) @ torch.diag(scales) @ rotation(6, seed + 10) for seed in (1, 2))
    target = torch.randn(6, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    reached = {}
    for optimizer in (Soap, torch.optim.Adam):
        weight = nn.Parameter(torch.zeros(6, 6, dtype=torch.float64))
        steps = optimizer([weight], lr=0.05, betas=BETAS)
        for _ in range(300):
            steps.zero_grad()
            loss = (left @ (weight - target) @ right).square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            steps.step()
        reached[optimizer] = loss.item()
    assert reached[Soap] < 0.5 * reached[torch.optim.Adam]
