"""SPAN: the published function in both forms, its merge at every border, and every configuration recognised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published_networks import conv3xc, span
from samples import save, small_module
from torch import Tensor
from torch.nn import functional

from toolkit.errors import CheckpointError
from toolkit.network.architectures.configuration import configured
from toolkit.network.architectures.registry import ARCHITECTURES
from toolkit.network.architectures.span.config import SPANConfig
from toolkit.network.architectures.span.model import Conv3XC
from toolkit.network.checkpoint import load_checkpoint, serialised_weights
from toolkit.network.fusion import fuse, fuse_block, merged_kernel, train_through_merge
from toolkit.network.impulses import BLOCK_BOUND
from toolkit.network.proof import prove_block, prove_blocks

ARCHITECTURE = ARCHITECTURES["span"]
SMALL = SPANConfig(channels=5, blocks=2)
MEANS = {"div2k": (0.4488, 0.4371, 0.4040), "zero": (0.0, 0.0, 0.0)}


def published(network: torch.nn.Module) -> dict[str, Tensor]:
    """The state under its published names."""
    name = ARCHITECTURE.stored_name(network.config)
    return {name(ours): tensor for ours, tensor in network.state_dict().items()}


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "change", [{}, {"gain": 3}, {"image_range": 1.0, "mean": "zero"}, {"norm": False}, {"blocks": 1}]
)
def test_it_is_the_published_network_in_both_forms(scale: int, change: dict) -> None:
    config = replace(SMALL, scale=scale, **change)
    made = small_module(config).double()
    x = torch.rand(1, 3, 7, 5, dtype=torch.float64)
    mean, value_range = (MEANS[config.mean], config.image_range) if config.norm else (MEANS["zero"], 1.0)
    mean = tuple(torch.tensor(mean).double().tolist())  # constants are float32 numbers
    with torch.inference_mode():
        for form in (made, fuse(made)):
            expected = span(published(form), x, scale, mean, value_range)
            assert expected.shape == (1, 3, 7 * scale, 5 * scale)
            torch.testing.assert_close(form(x), expected, rtol=1e-12, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize(("inputs", "outputs", "gain"), [(3, 5, 2), (4, 4, 1), (5, 2, 3)])
def test_the_merge_is_exact_at_every_border(inputs: int, outputs: int, gain: int) -> None:
    """Against the published form in float64, at sizes where borders meet; and by the proof, with every impulse."""
    block = small_module(SMALL, Conv3XC(inputs, outputs, gain)).double()
    weight, bias = merged_kernel(block)
    state = {f"b.{name}": tensor for name, tensor in block.state_dict().items()}
    with torch.inference_mode():
        for height, width in [(1, 1), (1, 6), (6, 1), (2, 2), (3, 3), (5, 8)]:
            x = torch.randn(2, inputs, height, width, dtype=torch.float64)
            expected = conv3xc(state, "b", x)
            torch.testing.assert_close(functional.conv2d(x, weight, bias, padding=1), expected, rtol=0, atol=1e-13)
            torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-13)
    proof = prove_block("b", block, weight, bias, fuse_block(block))
    assert proof.measured <= BLOCK_BOUND


def test_the_merged_kernel_in_closed_form() -> None:
    """Element by element: Σ R·S·E, the skip at the centre, and the first bias through all nine taps."""
    block = small_module(SMALL, Conv3XC(2, 3, 2)).double()
    weight, bias = merged_kernel(block)
    (e, e0), (s, s0), (r, r0) = ((layer.weight.detach(), layer.bias.detach()) for layer in block.conv)
    for o in range(3):
        constant = float((r0[o] + block.sk.bias[o]).detach())
        for m in range(6):
            seen = sum(float(s[m, n, y, x] * e0[n]) for n in range(4) for y in range(3) for x in range(3))
            constant += float(r[o, m, 0, 0]) * (seen + float(s0[m]))
        assert float(bias[o]) == pytest.approx(constant, abs=1e-14)
        for i in range(2):
            for y in range(3):
                for x in range(3):
                    value = sum(
                        float(r[o, m, 0, 0] * s[m, n, y, x] * e[n, i, 0, 0]) for m in range(6) for n in range(4)
                    )
                    value += float(block.sk.weight[o, i, 0, 0]) if (y, x) == (1, 1) else 0.0
                    assert float(weight[o, i, y, x]) == pytest.approx(value, abs=1e-14)


class PaddedInside(Conv3XC):
    """The mistake that a merge cannot make good: zeros around the expanded features instead of around the input."""

    def forward(self, x: Tensor) -> Tensor:
        expand, spatial, reduce = self.conv
        return reduce(spatial(functional.pad(expand(x), (1, 1, 1, 1)))) + self.sk(x)


def test_the_proof_sees_a_block_that_pads_elsewhere() -> None:
    block = small_module(SMALL, PaddedInside(3, 4, 2))
    proof = prove_block("b", block, *merged_kernel(block), fuse_block(block))
    assert proof.measured > 1e-3


def test_training_through_the_merge_has_the_same_function_and_gradients() -> None:
    x, found = torch.rand(1, 3, 6, 6, dtype=torch.float64), []
    for enabled in (False, True):
        made = small_module(SMALL).double()
        train_through_merge(made, enabled)
        result = made(x)
        result.square().mean().backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in made.parameters())
        found.append((result.detach(), [parameter.grad for parameter in made.parameters()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-8, atol=1e-8)


def test_all_blocks_of_a_network_are_proved() -> None:
    made = small_module(SMALL)
    proofs = prove_blocks(made, fuse(made))
    assert [proof.name for proof in proofs] == [
        "conv_1",
        *(f"block_{number}.{part}" for number in (1, 2) for part in ("c1_r", "c2_r", "c3_r")),
        "conv_2",
    ]
    assert max(proof.measured for proof in proofs) <= BLOCK_BOUND


@settings(deadline=None, max_examples=30)
@given(
    scale=st.integers(1, 4),
    channels=st.integers(1, 64),
    blocks=st.integers(1, 8),
    gain=st.none() | st.integers(1, 3),
    norm=st.booleans(),
)
def test_every_size_is_derived_from_shapes(
    scale: int, channels: int, blocks: int, gain: int | None, norm: bool
) -> None:
    config = SPANConfig(scale, channels, blocks, gain, norm)
    state = published(ARCHITECTURE.build(config))
    assert ARCHITECTURE.prefixes(state) == [""]
    found = ARCHITECTURE.recognise(state, "file")
    assert found.config == config
    assert found.layout == ("eval_conv" if gain is None else "released")
    assert found.merged == (gain is None)


@pytest.mark.parametrize("channels", [28, 48, 64])
@pytest.mark.parametrize("form", ["training", "published training", "fused"])
def test_published_sizes_and_wrappers(channels: int, form: str, tmp_path: Path) -> None:
    """In training form the published code writes the merged kernels too, not always the current ones."""
    made = small_module(replace(SMALL, channels=channels, blocks=6, scale=4))
    made = fuse(made) if form == "fused" else made
    state = published(made)
    if form == "published training":
        for name in [name.removesuffix(".sk.weight") for name in state if name.endswith(".sk.weight")]:
            outputs, inputs = state[f"{name}.sk.weight"].shape[:2]
            state |= {f"{name}.eval_conv.weight": torch.zeros(outputs, inputs, 3, 3)}
            state |= {f"{name}.eval_conv.bias": torch.zeros(outputs)}
    wrapped = {"params_ema": {f"module.{name}": tensor for name, tensor in state.items()}}
    loaded = load_checkpoint(save(tmp_path / "s.pth", wrapped))
    assert (loaded.architecture.name, loaded.config, loaded.merged) == ("span", made.config, form == "fused")
    assert all(torch.equal(made.state_dict()[name], value) for name, value in loaded.network.state_dict().items())


def test_a_state_of_a_fused_network_under_its_own_names(tmp_path: Path) -> None:
    made = fuse(small_module(SMALL))
    loaded = load_checkpoint(save(tmp_path / "s.pth", {"network": made.state_dict()}))
    assert (loaded.layout, loaded.config, loaded.merged) == ("toolkit", made.config, False)


def test_weights_without_norm_say_so(tmp_path: Path) -> None:
    made = small_module(replace(SMALL, norm=False))
    state = published(made)
    assert "no_norm" in state
    loaded = load_checkpoint(save(tmp_path / "s.pth", state))
    assert loaded.config == made.config
    assert ("input normalisation", "none (the weights have no_norm)") in loaded.details.facts


def test_weights_written_here_are_read_back_with_what_tensors_do_not_show(tmp_path: Path) -> None:
    made = small_module(replace(SMALL, image_range=2.5, mean="zero"))
    (tmp_path / "s").write_bytes(serialised_weights(made))
    loaded = load_checkpoint(tmp_path / "s")
    assert loaded.config == made.config
    assert ("input normalisation", "x * 2.5 (as the file says)") in loaded.details.facts


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("block_2.c2_r.conv.1.bias", "close to SPAN but differs: missing block_2.c2_r.conv.1.bias"),
        ("block_1.", "blocks are not numbered from 1 without gaps; 1 is missing"),
        ("upsampler.0.bias", "missing upsampler.0.bias"),
        ("conv_1.sk.", "missing conv_1.sk.bias, conv_1.sk.weight"),
    ],
)
def test_what_does_not_fit_is_named(lost: str, message: str) -> None:
    state = {name: tensor for name, tensor in published(small_module(SMALL)).items() if not name.startswith(lost)}
    with pytest.raises(CheckpointError, match=message):
        ARCHITECTURE.recognise(state, "file")


@pytest.mark.parametrize("change", [{"channels": 0}, {"blocks": 2000}, {"image_range": 0.0}, {"mean": "red"}])
def test_configurations_that_make_no_sense(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        configured(SMALL, change)


def test_files_are_named_after_what_differs_from_the_published_network() -> None:
    names = {
        "span_x4": SPANConfig(scale=4),
        "span_x4_small": SPANConfig(4, 28),
        "span_x2_c52b6": SPANConfig(channels=52),
        "span_x3_light": SPANConfig(3, 8, 5),
    }
    assert {ARCHITECTURE.file_stem(config): config for config in names.values()} == names
    assert all(ARCHITECTURE.file_stem(config.fused()) == name for name, config in names.items())
