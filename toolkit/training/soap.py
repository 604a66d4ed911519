"""SOAP: Adam in a basis in which the gradient's rows and columns hardly correlate."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_EPSILON = 1e-8

_INTERVAL = 10
"""Steps between updates of the bases, which change slowly."""


class Soap(torch.optim.Optimizer):
    """The optimizer of Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", ICLR 2025.

    A weight (O, I, h, w) counts as a matrix of O rows. Its gradient is turned into the eigenbases of the running means
    of G Gᵀ and Gᵀ G, Adam's step is made there, and turned back. Vectors take Adam's own step. The first step of a
    matrix only measures. As in Adam, `betas` are the decays of the mean gradient, and of its square and both bases.

    For a network without skips, whose channels depend on each other strongly, it needs several times fewer iterations.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, betas: tuple[float, float]) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. There is no closure to call."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if (gradient := parameter.grad) is not None:
                    matrix = gradient.flatten(1) if gradient.ndim > 1 else gradient
                    self._update(parameter, matrix, group["lr"], *group["betas"])

    def _update(self, parameter: nn.Parameter, gradient: Tensor, rate: float, beta1: float, beta2: float) -> None:
        state = self.state[parameter]
        if not state:
            state |= _first(gradient)
        state["step"] += 1
        step = int(state["step"])
        state["mean"].lerp_(gradient, 1 - beta1)
        turned, mean = gradient, state["mean"]
        if gradient.ndim > 1:
            _follow(state, gradient, step, beta2)
            turned, mean = (state["rows"].T @ matrix @ state["columns"] for matrix in (gradient, mean))
        state["square"].lerp_(turned.square(), 1 - beta2)
        direction = mean / (1 - beta1**step) / ((state["square"] / (1 - beta2**step)).sqrt() + _EPSILON)
        if gradient.ndim > 1:
            if step == 1:
                return  # of one gradient the bases are arbitrary
            direction = state["rows"] @ direction @ state["columns"].T
        parameter.add_(direction.view_as(parameter), alpha=-rate)


def _first(gradient: Tensor) -> dict[str, Any]:
    state = {"step": torch.tensor(0.0), "mean": torch.zeros_like(gradient), "square": torch.zeros_like(gradient)}
    if gradient.ndim > 1:
        for name, size in zip(("row", "column"), gradient.shape, strict=True):
            state[f"{name}_products"] = gradient.new_zeros(size, size)
            state[f"{name}s"] = torch.eye(size, dtype=gradient.dtype, device=gradient.device)
    return state


def _follow(state: dict[str, Any], gradient: Tensor, step: int, decay: float) -> None:
    """Average the products of rows and of columns, and turn the bases after their eigenvectors."""
    for name, matrix in (("row", gradient), ("column", gradient.T)):
        products, basis = state[f"{name}_products"], state[f"{name}s"]
        products.lerp_(matrix @ matrix.T, 1 - decay)
        if step == 1:
            basis.copy_(torch.linalg.eigh(products).eigenvectors)
        elif step % _INTERVAL == 1:
            # One round of power iteration: enough to follow, and much cheaper than eigenvectors.
            basis.copy_(torch.linalg.qr(products @ basis).Q)
