"""Compact and SPAN written a second time, from tensors with the published names, as a truth for the toolkit's own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

State = Mapping[str, Tensor]


def compact(state: State, x: Tensor, scale: int, slope: float | None = None) -> Tensor:
    """`slope`: of LeakyReLU, 0 for ReLU; None: PReLU, whose slopes are in the state."""
    numbers = sorted(int(name.split(".")[1]) for name in state if name.endswith(".bias"))
    assert numbers == list(range(0, numbers[-1] + 1, 2)), "every second layer is a convolution"
    y = x
    for number in numbers:
        y = functional.conv2d(y, state[f"body.{number}.weight"], state[f"body.{number}.bias"], padding=1)
        if number != numbers[-1]:
            slopes = state[f"body.{number + 1}.weight"][:, None, None] if slope is None else slope
            y = torch.where(y < 0, y * slopes, y)
    repeated = x.repeat_interleave(scale, dim=-1).repeat_interleave(scale, dim=-2)
    return shuffled(y, scale) + repeated


def span(state: State, x: Tensor, scale: int, mean: tuple[float, float, float], value_range: float) -> Tensor:
    """In training form or fused, whatever the tensors are."""
    blocks = len({name.split(".")[0] for name in state if name.startswith("block_")})
    h = first = conv3xc(state, "conv_1", (x - torch.tensor(mean, dtype=x.dtype)[:, None, None]) * value_range)
    outputs, inner = [], h
    for number in range(1, blocks + 1):
        inner = conv3xc(state, f"block_{number}.c1_r", h)
        inner = inner / (1 + torch.exp(-inner))
        middle = conv3xc(state, f"block_{number}.c2_r", inner)
        result = conv3xc(state, f"block_{number}.c3_r", middle / (1 + torch.exp(-middle)))
        h = (result + h) * (1 / (1 + torch.exp(-result)) - 0.5)
        outputs.append(h)
    joined = torch.cat([first, conv3xc(state, "conv_2", h), outputs[0], inner], 1)
    mixed = functional.conv2d(joined, state["conv_cat.weight"], state["conv_cat.bias"])
    y = functional.conv2d(mixed, state["upsampler.0.weight"], state["upsampler.0.bias"], padding=1)
    return shuffled(y, scale)


def conv3xc(state: State, name: str, x: Tensor) -> Tensor:
    """One convolution of SPAN: the input is padded once, before the chain of the training form."""
    if f"{name}.sk.weight" not in state:
        return functional.conv2d(x, state[f"{name}.eval_conv.weight"], state[f"{name}.eval_conv.bias"], padding=1)
    padded = nn.ZeroPad2d(1)(x)
    for number in range(3):
        padded = functional.conv2d(padded, state[f"{name}.conv.{number}.weight"], state[f"{name}.conv.{number}.bias"])
    return padded + functional.conv2d(x, state[f"{name}.sk.weight"], state[f"{name}.sk.bias"])


def shuffled(y: Tensor, scale: int) -> Tensor:
    """PixelShuffle, written with indices."""
    made = y.new_empty(y.shape[0], 3, y.shape[2] * scale, y.shape[3] * scale)
    for channel in range(3):
        for row in range(scale):
            for column in range(scale):
                made[:, channel, row::scale, column::scale] = y[:, channel * scale**2 + row * scale + column]
    return made
