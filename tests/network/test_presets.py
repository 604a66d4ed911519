"""The design space: every preset computes what it should, merges, and is recognised from its tensors alone."""

import json
from dataclasses import asdict, fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from samples import network, save_safetensors, small_preset
from samples import save as save_pickle
from torch.nn import functional

from toolkit.errors import CheckpointError
from toolkit.network.architectures.configuration import configured
from toolkit.network.architectures.registry import architecture_of
from toolkit.network.architectures.rt4ksr.attention import ChannelAttention, EfficientChannelAttention, eca_kernel_size
from toolkit.network.architectures.rt4ksr.blocks import Block, NafBlock, ReparameterizableBlock, SeparableBlock
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.frequency import Halve, HighPass
from toolkit.network.architectures.rt4ksr.model import RT4KSR
from toolkit.network.architectures.rt4ksr.presets import PRESETS, SIZES, STEPS
from toolkit.network.checkpoint import load_checkpoint, serialised_weights, untrained_checkpoint
from toolkit.network.complexity import complexity
from toolkit.network.fusion import fuse, mergeable_blocks, train_through_merge
from toolkit.network.impulses import BLOCK_BOUND
from toolkit.network.proof import prove_blocks
from toolkit.network.reading import config_key
from toolkit.workloads import Shape

EVERY = pytest.mark.parametrize("name", PRESETS)


@EVERY
@pytest.mark.parametrize("scale", [2, 3])
def test_merged_and_unmerged_are_the_same_function(name: str, scale: int) -> None:
    made = network(small_preset(name, scale)).double()
    x = torch.rand(2, 3, 10, 14, dtype=torch.float64)
    with torch.inference_mode():
        result = made(x)
        assert result.shape == (2, 3, 10 * scale, 14 * scale)
        torch.testing.assert_close(fuse(made)(x), result, rtol=0, atol=1e-12)
    for proof in prove_blocks(made.float(), fuse(made.float())):
        assert proof.measured <= BLOCK_BOUND


@EVERY
def test_every_tensor_matters(name: str) -> None:
    """A parameter that a configuration has but forward forgot would train to nothing."""
    made = network(small_preset(name)).double()
    made(torch.rand(1, 3, 12, 12, dtype=torch.float64)).square().mean().backward()
    unused = [key for key, parameter in made.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert unused == []


@EVERY
def test_recognised_from_tensors_alone(name: str, tmp_path: Path) -> None:
    for config in (PRESETS[name], small_preset(name, 3)):
        made = network(config)
        bare = save(load(serialised_weights(made)))  # without metadata
        (tmp_path / "w").write_bytes(bare)
        loaded = load_checkpoint(tmp_path / "w", high_frequency="on" if config.high_frequency else "auto")
        assert loaded.config == config
        assert all(torch.equal(made.state_dict()[key], value) for key, value in loaded.network.state_dict().items())


@EVERY
def test_recognised_whatever_a_trainer_wrapped_it_in(name: str, tmp_path: Path) -> None:
    made = network(small_preset(name))
    state = {f"module.{key}": tensor for key, tensor in load(serialised_weights(made)).items()}
    path = save_pickle(tmp_path / "last.ckpt", {"epoch": 3, "state_dict": state})
    assert load_checkpoint(path).config == made.config


def test_the_activation_is_in_the_file(tmp_path: Path) -> None:
    made = network(replace(small_preset("rt4ksr"), activation="leaky-relu"))
    loaded = load_checkpoint(save_safetensors(tmp_path / "w", made))
    assert loaded.config.activation == "leaky-relu"
    pickled = {config_key("rt4ksr"): json.dumps(asdict(made.config)), "state_dict": made.state_dict()}
    assert load_checkpoint(save_pickle(tmp_path / "p", pickled)).config == made.config
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(loaded.network(x), made(x))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"colour": 1}', "there is no colour"),
        ('{"block": "cube"}', "block is one of"),
        ('{"channels": true}', "channels cannot be True"),
        ('{"channels": "24"}', "channels cannot be '24'"),
        ('{"channels": 7}', "channels is 7 in its rt4ksr.config, and 6 by its tensors"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused(stored: str, message: str, tmp_path: Path) -> None:
    made = network()
    if stored == '{"channels": 7}':
        stored = json.dumps(asdict(replace(made.config, channels=7)))
    (tmp_path / "w").write_bytes(save(load(serialised_weights(made)), {config_key("rt4ksr"): stored}))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "w")


@pytest.mark.parametrize("lost", ["body.1.widen.weight", "tail.conv.bias", "high_pass.kernel"])
def test_a_missing_tensor_is_named(lost: str, tmp_path: Path) -> None:
    tensors = load(serialised_weights(network(small_preset("naf"))))
    del tensors[lost]
    (tmp_path / "w").write_bytes(save(tensors))
    with pytest.raises(CheckpointError, match=f"missing {lost}"):
        load_checkpoint(tmp_path / "w")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": 0}, "blocks must be at least 1"),
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"attention": "eca"}, "does not support attention"),
        ({"squeeze": 2}, "squeeze requires"),
        ({"block": "naf", "attention": "channel", "squeeze": 5}, "cannot be squeezed"),
        ({"expansion": 3}, "has no expansion"),
        ({"plain_hfb": True}, "plain_hfb requires"),
        ({"block": "separable", "expansion": 1}, "at least 2"),
    ],
)
def test_configurations_that_make_no_sense(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configured(NetworkConfig(), change)


def test_presets_go_one_step_at_a_time() -> None:
    """From `unshuffle` on the blocks change; before that, the stem and the resolution do."""
    steps = list(STEPS.values())
    differing = [
        [field.name for field in fields(a) if getattr(a, field.name) != getattr(b, field.name)]
        for a, b in pairwise(steps)
    ]
    assert differing[:5] == [["stem"], ["stem"], ["resolution"], ["resolution"], ["block"]]
    assert differing[-1] == ["stem"]
    assert all(architecture_of(config).preset_of(replace(config, scale=3)) == name for name, config in PRESETS.items())
    assert architecture_of(NetworkConfig()).preset_of(NetworkConfig(channels=25)) is None


def test_sizes_grow() -> None:
    counts = [sum(p.numel() for p in RT4KSR(config).parameters()) for config in SIZES.values()]
    assert counts == sorted(counts)


def test_costs_of_the_released_network() -> None:
    """By hand: at half of 1080x1920, 9·24·(12 + 4·24 + 24 + 48) multiply-adds a pixel."""
    cost = complexity(NetworkConfig(), Shape(1080, 1920))
    assert (cost.parameters, cost.fused_parameters) == (129_072, 39_312)
    assert cost.multiply_adds == 540 * 960 * 9 * 24 * (12 + 4 * 24 + 24 + 48)


def test_costs_of_an_attention_are_counted_once_a_frame() -> None:
    with_attention = small_preset("naf")
    without = replace(with_attention, attention="none", squeeze=1)
    shape = Shape(16, 16)
    assert complexity(with_attention, shape).multiply_adds - complexity(without, shape).multiply_adds == 2 * 2 * 12 * 6


def test_unknown_preset() -> None:
    with pytest.raises(CheckpointError, match="no preset 'xxl'") as caught:
        untrained_checkpoint(preset="xxl")
    assert "naf-eca" in caught.value.remedy


# Training through the merge


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(1, 6), st.integers(0, 999))
def test_through_the_merge_is_the_same_function_with_the_same_gradients(
    channels: int, hidden: int, size: int, seed: int
) -> None:
    torch.manual_seed(seed)
    block = ReparameterizableBlock(channels, hidden).double()
    x = torch.randn(2, channels, size, size + 1, dtype=torch.float64, requires_grad=True)
    target = torch.randn_like(x)
    results = []
    for merge_first in (False, True):
        block.merge_first = merge_first
        result = block(x)
        loss = (result - target).square().mean()
        results.append((result, *torch.autograd.grad(loss, [x, *block.parameters()])))
    for plain, merged in zip(*results, strict=True):
        torch.testing.assert_close(merged, plain, rtol=0, atol=1e-12)


def test_the_switch_reaches_every_block_and_leaves_no_trace() -> None:
    made = network(small_preset("simplified"))
    keys = list(made.state_dict())
    train_through_merge(made)
    assert all(block.merge_first for block in mergeable_blocks(made).values())
    assert len(mergeable_blocks(made)) == 4
    assert list(made.state_dict()) == keys
    train_through_merge(made, enabled=False)
    assert not any(block.merge_first for block in mergeable_blocks(made).values())


# Parts, against their definitions in numpy


def test_pool_stem_takes_away_the_mean_of_four_pixels() -> None:
    x = np.random.default_rng(0).random((1, 3, 6, 8))
    means = x.reshape(1, 3, 3, 2, 4, 2).mean(axis=(3, 5)).repeat(2, 2).repeat(2, 3)
    result = HighPass("pool").double()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(result, x - means, rtol=0, atol=1e-15)


def test_halving_is_average_pooling() -> None:
    x = torch.rand(1, 5, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(Halve(5).double()(x), functional.avg_pool2d(x, 2), rtol=0, atol=1e-15)


def test_channel_attention_weighs_by_the_mean_of_the_frame() -> None:
    part = ChannelAttention(6, 2).double()
    x = np.random.default_rng(0).random((1, 6, 5, 7))
    squeeze, excite = (layer.weight.detach().numpy()[:, :, 0, 0] for layer in (part.squeeze, part.excite))
    hidden = np.maximum(squeeze @ x.mean(axis=(2, 3))[0] + part.squeeze.bias.detach().numpy(), 0)
    weights = 1 / (1 + np.exp(-(excite @ hidden + part.excite.bias.detach().numpy())))
    with torch.inference_mode():
        result = part(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(result, x * weights[None, :, None, None], rtol=0, atol=1e-14)


def test_efficient_channel_attention_is_a_convolution_along_channels() -> None:
    part = EfficientChannelAttention(48).double()
    x = np.random.default_rng(0).random((1, 48, 4, 6))
    kernel = part.conv.weight.detach().numpy().ravel()
    logits = np.correlate(np.pad(x.mean(axis=(2, 3))[0], len(kernel) // 2), kernel, "valid")
    with torch.inference_mode():
        result = part(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(result, x / (1 + np.exp(-logits))[None, :, None, None], rtol=0, atol=1e-14)


@pytest.mark.parametrize(("channels", "size"), [(1, 1), (16, 3), (64, 3), (256, 5), (512, 5)])
def test_eca_kernel_sizes(channels: int, size: int) -> None:
    """As the ECA authors' code gives them for gamma 2, b 1."""
    assert eca_kernel_size(channels) == size


@pytest.mark.parametrize(("kind", "preset"), [(NafBlock, "naf"), (SeparableBlock, "separable")])
def test_a_residual_block_begins_as_the_identity(kind: type[Block], preset: str) -> None:
    part = kind(replace(small_preset(preset), residual=True))
    x = torch.rand(1, 6, 5, 5)
    assert torch.equal(part(x), x)
