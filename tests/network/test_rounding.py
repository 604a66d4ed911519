"""What float32 may cost: above what any order of operations costs, below what a lower precision does."""

import numpy as np
import pytest
import torch
from samples import SMALL, network, small_preset

from toolkit.graph.analysis.numerics import relative_error
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.model import RT4KSR
from toolkit.network.fusion import fuse
from toolkit.network.module import numpy_function
from toolkit.network.rounding import FloatCost

CONFIGS = {
    "small": SMALL,
    "deep": NetworkConfig(channels=8, blocks=20, hidden=12),
    "high frequency": NetworkConfig(scale=3, channels=5, blocks=1, hidden=7, stem="gaussian"),
    "attention": small_preset("naf"),
}


@pytest.fixture(scope="module", params=CONFIGS)
def made(request: pytest.FixtureRequest) -> RT4KSR:
    return fuse(network(CONFIGS[request.param]))


def frame() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 20, 24), np.float32)


def permuted(source: RT4KSR) -> RT4KSR:
    """The same function with its channels in another order, so that every sum is computed in another order."""
    order = torch.randperm(source.config.channels, generator=torch.Generator().manual_seed(1))
    state = source.state_dict()
    assert not source.config.high_frequency
    for name, tensor in state.items():
        if name == "head.weight" or (name.endswith((".bias", "norm.weight")) and name != "upsample.bias"):
            state[name] = tensor[order]
        elif name.endswith("conv.weight"):
            state[name] = tensor[order][:, order]
        elif name == "upsample.weight":
            state[name] = tensor[:, order]
    other = RT4KSR(source.config).eval()
    other.load_state_dict(state)
    return other


def in_order_of(source: RT4KSR, image: np.ndarray) -> np.ndarray:
    """float32 with every convolution as one sum over taps in sequence, each rounded: no vectors, no fused products."""

    def convolve(self: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        padded = torch.nn.functional.pad(x, (self.padding[1],) * 2 + (self.padding[0],) * 2)
        height, width = (padded.shape[2] - self.kernel_size[0] + 1, padded.shape[3] - self.kernel_size[1] + 1)
        total = torch.zeros(1, self.out_channels, height, width)
        for row in range(self.kernel_size[0]):
            for column in range(self.kernel_size[1]):
                window = padded[..., row : row + height, column : column + width]
                for channel in range(self.in_channels):
                    products = window[:, channel : channel + 1] * self.weight[:, channel, row, column][:, None, None]
                    total = total + products
        return total + self.bias[:, None, None]

    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(torch.nn.Conv2d, "forward", convolve)
        return source(torch.from_numpy(image)).numpy()


def test_any_order_of_summation_is_far_within_it() -> None:
    """Orders of summation are what CPUs differ in."""
    source = fuse(network(NetworkConfig(channels=8, blocks=6, hidden=12)))
    exact = numpy_function(source, "float64")(frame())
    bound = FloatCost(source, relative_error).arithmetic(frame())
    results = [
        numpy_function(source, "float32")(frame()),
        numpy_function(permuted(source), "float32")(frame()),
        in_order_of(source, frame()),
    ]
    errors = [relative_error(result.astype(np.float64), exact) for result in results]
    assert len(set(errors)) == 3, "they do round differently"
    assert max(errors) < bound / 10


def test_float32_is_far_within_it_and_lower_precisions_beyond(made: RT4KSR) -> None:
    exact = numpy_function(made, "float64")(frame())
    bound = FloatCost(made, relative_error).arithmetic(frame())
    single = numpy_function(made, "float32")(frame())
    assert 0 < relative_error(single.astype(np.float64), exact) < bound / 10
    for dtype in (torch.float16, torch.bfloat16):
        with torch.inference_mode():
            lower = RT4KSR(made.config).eval().to(dtype)
            lower.load_state_dict(made.state_dict())
            result = lower(torch.from_numpy(frame()).to(dtype)).double().numpy()
        assert relative_error(result, exact) > bound, dtype


def test_rounded_weights_are_within_what_storage_may_cost(made: RT4KSR) -> None:
    """Weights that are no float32 numbers, rounded."""
    wide = fuse(made).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.mul_(1 + 1e-4 * torch.rand(parameter.shape, generator=generator, dtype=torch.float64))
    stored = RT4KSR(made.config).eval()
    stored.load_state_dict(wide.state_dict())
    bound = FloatCost(wide, relative_error).storage(frame())
    error = relative_error(numpy_function(stored, "float64")(frame()), numpy_function(wide, "float64")(frame()))
    assert 0 < error < bound
    assert bound < FloatCost(wide, relative_error).arithmetic(frame())


def test_it_is_the_same_each_time_and_leaves_the_random_state_alone(made: RT4KSR) -> None:
    state = torch.random.get_rng_state()
    first, second = (FloatCost(made, relative_error).arithmetic(frame()) for _ in range(2))
    assert first == second
    assert torch.equal(torch.random.get_rng_state(), state)
