"""Compact: the published function, and every configuration recognised from its tensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published_networks import compact
from safetensors.torch import load
from safetensors.torch import save as bare
from samples import save, small_module

from toolkit.errors import CheckpointError
from toolkit.network.architectures.compact.config import CompactConfig
from toolkit.network.architectures.configuration import configured
from toolkit.network.architectures.registry import ARCHITECTURES, PRESETS
from toolkit.network.checkpoint import load_checkpoint, serialised_weights
from toolkit.network.complexity import complexity
from toolkit.workloads import Shape

COMPACT = ARCHITECTURES["compact"]
SMALL = CompactConfig(channels=5, convolutions=2)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("slope", [None, 0.0, 0.1])
def test_it_is_the_published_network(scale: int, slope: float | None) -> None:
    config = replace(SMALL, scale=scale, prelu=slope is None, slope=0.25 if slope is None else slope)
    made = small_module(config).double()
    x = torch.rand(2, 3, 7, 5, dtype=torch.float64) * 3 - 1
    with torch.inference_mode():
        expected = compact(made.state_dict(), x, scale, slope if slope is None else float(np.float32(slope)))
        torch.testing.assert_close(made(x), expected, rtol=0, atol=1e-13)
        assert (made(x) - expected.mean()).abs().max() > 0.1


@settings(deadline=None, max_examples=30)
@given(
    scale=st.integers(1, 4),
    channels=st.integers(1, 70),
    convolutions=st.integers(1, 20),
    prelu=st.booleans(),
)
def test_every_size_is_derived_from_shapes(scale: int, channels: int, convolutions: int, prelu: bool) -> None:
    config = CompactConfig(scale, channels, convolutions, prelu, 0.25 if prelu else 0.0)
    state = COMPACT.build(config).state_dict()
    assert COMPACT.prefixes(state) == [""]
    found = COMPACT.recognise(state, "file")
    assert found.config == config
    assert found.tensors.keys() == state.keys()
    assert not found.merged


WRAPPERS = {
    "bare": lambda state: state,
    "params_ema": lambda state: {"params_ema": state},
    "params": lambda state: {"params": state, "iter": 5},
    "distributed": lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
    "half": lambda state: {"params": {name: tensor.half() for name, tensor in state.items()}},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_are_seen_through(wrapper: str, tmp_path: Path) -> None:
    made = small_module(SMALL)
    loaded = load_checkpoint(save(tmp_path / "c.pth", WRAPPERS[wrapper](made.state_dict())))
    assert (loaded.architecture.name, loaded.config) == ("compact", SMALL)
    tolerance = 1e-3 if wrapper == "half" else 0
    for name, tensor in loaded.network.state_dict().items():
        torch.testing.assert_close(tensor, made.state_dict()[name], rtol=tolerance, atol=tolerance / 10)


def test_both_sets_of_a_training_are_named(tmp_path: Path) -> None:
    state = small_module(SMALL).state_dict()
    path = save(tmp_path / "c.pth", {"params": state, "params_ema": {name: 2 * value for name, value in state.items()}})
    with pytest.raises(CheckpointError, match="several sets of RT4KSR, Compact or SPAN weights: params, params_ema"):
        load_checkpoint(path)
    chosen = load_checkpoint(path, entry="params_ema").network.state_dict()
    assert torch.equal(chosen["body.0.weight"], 2 * state["body.0.weight"])


def lacks_one(state: dict[str, torch.Tensor]) -> None:
    del state["body.2.bias"]


def is_grey(state: dict[str, torch.Tensor]) -> None:
    state["body.0.weight"] = state["body.0.weight"][:, :1]


def fits_no_scale(state: dict[str, torch.Tensor]) -> None:
    state["body.6.weight"] = torch.zeros(10, 5, 3, 3)


def ends_early(state: dict[str, torch.Tensor]) -> None:
    for name in [name for name in state if name.split(".")[1] in "3456"]:
        del state[name]
    state["body.2.weight"] = torch.zeros(12, 5, 3, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lacks_one, "close to Compact but differs: missing body.2.bias"),
        (is_grey, r"body.0.weight has shape \(5, 1, 3, 3\) instead of \(5, 3, 3, 3\)"),
        (fits_no_scale, r"body.6.weight has shape \(10, 5, 3, 3\), which fits no scale"),
        (ends_early, "convolutions must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_is_named(change, message: str, tmp_path: Path) -> None:
    state = dict(small_module(SMALL).state_dict())
    change(state)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(save(tmp_path / "c.pth", state))


def test_weights_written_here_are_read_back_with_what_tensors_do_not_show(tmp_path: Path) -> None:
    made = small_module(replace(SMALL, prelu=False, slope=0.2))
    path = tmp_path / "c.safetensors"
    path.write_bytes(serialised_weights(made))
    loaded = load_checkpoint(path)
    assert loaded.config == made.config
    assert ("activation", "LeakyReLU 0.2 (as the file says)") in loaded.details.facts
    path.write_bytes(bare(load(serialised_weights(made))))
    assert load_checkpoint(path, assume={"slope": "0.2"}).config == made.config


@pytest.mark.parametrize("change", [{"channels": 0}, {"convolutions": 2000}, {"slope": 1.5}, {"scale": 17}])
def test_configurations_that_make_no_sense(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        configured(SMALL, change)


def test_files_are_named_after_what_differs_from_the_published_network() -> None:
    names = {
        "compact_x2": CompactConfig(),
        "compact_x4_ultra": CompactConfig(scale=4, convolutions=8),
        "compact_x1_c48n10": CompactConfig(1, 48, 10),
        "compact_x2_relu": CompactConfig(prelu=False, slope=0.0),
        "compact_x3_light_leaky": CompactConfig(3, 16, 3, prelu=False, slope=0.1),
    }
    assert {COMPACT.file_stem(config): config for config in names.values()} == names


@pytest.mark.parametrize("name", ["compact-light", "span-light"])
def test_a_light_preset_costs_what_rt4ksr_does(name: str) -> None:
    """Multiply-adds at 1080p→4K, within a tenth."""
    frame = Shape(1080, 1920)
    cost, reference = (complexity(PRESETS[preset], frame).multiply_adds for preset in (name, "rt4ksr"))
    assert 0.9 < cost / reference < 1.1
