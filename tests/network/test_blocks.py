import math

import numpy as np
import torch
from torch.nn import functional

from toolkit.network.architectures.rt4ksr.blocks import LayerNorm2d, ReparameterizableBlock
from toolkit.network.architectures.rt4ksr.frequency import HighPass


def test_layer_norm_is_torchs_over_channels() -> None:
    norm = LayerNorm2d(7).double()
    torch.nn.init.uniform_(norm.weight)
    torch.nn.init.uniform_(norm.bias)
    x = torch.randn(2, 7, 5, 3, dtype=torch.float64)
    expected = functional.layer_norm(x.permute(0, 2, 3, 1), (7,), norm.weight, norm.bias, eps=1e-6).permute(0, 3, 1, 2)
    torch.testing.assert_close(norm(x), expected, rtol=0, atol=1e-13)


def test_high_pass_is_the_gaussian_definition() -> None:
    x = np.random.default_rng(0).random((3, 6, 9))
    taps = [math.exp(-(i**2) / 2) for i in range(-2, 3)]
    total = sum(a * b for a in taps for b in taps)
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    blurred = sum(taps[i] * taps[j] / total * padded[:, i : i + 6, j : j + 9] for i in range(5) for j in range(5))
    result = HighPass()(torch.from_numpy(x)[None].float())[0].numpy()
    np.testing.assert_allclose(result, x - blurred, rtol=0, atol=3e-7)


def test_the_3x3_of_a_block_sees_the_expand_bias_outside_the_image() -> None:
    """The released code pads the expanded features with the expand convolution's bias, channel by channel."""
    block = ReparameterizableBlock(3, 5).double()
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    expanded = block.expand(x)
    padded = block.expand.bias[None, :, None, None].expand(2, 5, 6, 8).clone()
    padded[:, :, 1:-1, 1:-1] = expanded
    expected = block.reduce(block.spatial(padded) + expanded) + x
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-13)
