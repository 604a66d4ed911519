"""Hyper-parameters that no tensor shows: stated, assumed, or measured; never guessed in silence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from safetensors.torch import save as bare
from samples import DATA, needs_data, network, save, save_safetensors, small_module

from toolkit.errors import CheckpointError
from toolkit.network.architectures.compact.config import CompactConfig
from toolkit.network.architectures.compact.model import Compact
from toolkit.network.architectures.span.config import SPANConfig
from toolkit.network.checkpoint import load_checkpoint, serialised_weights
from toolkit.network.filters import repeated

NTIRE = DATA / "models" / "ntire2026_span_x4.pth"


def repeating(slope: float) -> Compact:
    """A network that repeats pixels if its activations have this slope, and otherwise is off by up to half of white.

    With t = x - 1/2, f(t) - f(-t) is (1 + slope)·t for LeakyReLU and ReLU alike. Ten times that is formed, shifted so
    that the second activation does not touch it, and 10·(1 + slope)·t, which was carried past the first activation as
    the positive x + 1, is subtracted.
    """
    made = Compact(CompactConfig(channels=9, convolutions=1, prelu=False, slope=slope))
    first, second = made.body[0], made.body[2]
    with torch.no_grad():
        for layer in (first, second, made.last):
            layer.weight.zero_()
            layer.bias.zero_()
        for c in range(3):
            for row, (factor, shift) in enumerate([(1, -0.5), (-1, 0.5), (1, 1)]):
                first.weight[3 * row + c, c, 1, 1], first.bias[3 * row + c] = factor, shift
            for row, factor in enumerate([10, -10, -10 * (1 + slope)]):
                second.weight[c, 3 * row + c, 1, 1] = factor
            second.bias[c] = 15 * (1 + slope) + 20
            made.last.weight[4 * c : 4 * c + 4, c, 1, 1] = 1
            made.last.bias[4 * c : 4 * c + 4] = -20
    return made.eval()


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_the_slope_of_activations_without_weights_is_measured(slope: float, tmp_path: Path) -> None:
    """Whichever it is: the tensors of both networks have the same names and shapes."""
    made = repeating(slope)
    x = torch.rand(1, 3, 5, 5)
    with torch.inference_mode():
        torch.testing.assert_close(made(x), repeated(x, made.config.scale), rtol=0, atol=1e-5)
    loaded = load_checkpoint(save(tmp_path / "c.pth", made.state_dict()))
    assert loaded.config == made.config
    assert "measured: " in dict(loaded.details.facts)["activation"]


@needs_data
def test_the_normalisation_of_span_is_measured() -> None:
    """The NTIRE weights were trained on (x - mean)·255: 32 dB from the enlarged picture, all others below 14."""
    loaded = load_checkpoint(NTIRE)
    assert loaded.config == SPANConfig(scale=4, channels=28, blocks=6, gain=None, image_range=255.0, mean="div2k")
    fact = dict(loaded.details.facts)["input normalisation"]
    assert fact.startswith("(x - DIV2K mean) * 255 (measured: 32.")


@needs_data
@pytest.mark.parametrize(("value", "mean"), [("1", "zero"), ("255", "zero"), ("1", "div2k")])
def test_another_range_is_found_as_well(value: str, mean: str, tmp_path: Path) -> None:
    """The same network for other inputs: its first convolution takes over what is not done before it.

    Zero padding stands for another colour then, which the test picture's border shows but does not hide.
    """
    state = {name: tensor.clone() for name, tensor in load_checkpoint(NTIRE).network.state_dict().items()}
    kernel = state["conv_1.weight"].double()
    if mean == "zero":
        shift = torch.tensor([0.4488, 0.4371, 0.4040]).double() * 255
        state["conv_1.bias"] = (state["conv_1.bias"].double() - torch.einsum("oiyx,i->o", kernel, shift)).float()
    state["conv_1.weight"] = (kernel * (255 / float(value))).float()
    found = load_checkpoint(save(tmp_path / "s.pth", state)).config
    assert (found.image_range, found.mean) == (float(value), mean)


def test_weights_that_were_not_trained_get_the_usual_one(tmp_path: Path) -> None:
    made = small_module(SPANConfig(channels=5, blocks=2, image_range=1.0))
    (tmp_path / "s").write_bytes(bare(load(serialised_weights(made))))  # without the configuration
    loaded = load_checkpoint(tmp_path / "s")
    assert (loaded.config.image_range, loaded.config.mean) == (255.0, "div2k")
    assert "usual: the weights upscale a test picture in no way" in dict(loaded.details.facts)["input normalisation"]


def test_what_is_assumed_goes_before_all(tmp_path: Path) -> None:
    made = small_module(SPANConfig(channels=5, blocks=2, image_range=1.0))
    (tmp_path / "s").write_bytes(serialised_weights(made))
    loaded = load_checkpoint(tmp_path / "s", assume={"image_range": "127.5", "mean": "zero"})
    assert loaded.config == replace(made.config, image_range=127.5, mean="zero")
    assert ("input normalisation", "x * 127.5 (as assumed)") in loaded.details.facts


@pytest.mark.parametrize(
    ("assumed", "message"),
    [
        ({"channels": "7"}, "channels of a SPAN network cannot be assumed\n  Its tensors do not determine image_range"),
        ({"image_range": "wide"}, "image_range cannot be 'wide'"),
        ({"image_range": "nan"}, "image_range must be positive"),
        ({"mean": "red"}, "mean is one of div2k, zero"),
    ],
)
def test_what_cannot_be_assumed_is_refused(assumed: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(serialised_weights(small_module(SPANConfig(channels=5, blocks=2))))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "s", assume=assumed)


def test_rt4ksr_takes_its_activation(tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "r", network())
    assert load_checkpoint(path, assume={"activation": "relu"}).config.activation == "relu"
