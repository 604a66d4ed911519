import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import needs_data, network, released, released_state
from torch import nn

from toolkit.network.architectures.rt4ksr.blocks import ReparameterizableBlock
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.checkpoint import load_checkpoint
from toolkit.network.fusion import fuse, fuse_block, merged_kernel
from toolkit.network.impulses import BLOCK_BOUND, ROUNDING_BOUND
from toolkit.network.module import MergeableBlock
from toolkit.network.proof import BlockProof, prove_block, prove_blocks


@settings(deadline=None, max_examples=25)
@given(channels=st.integers(1, 9), hidden=st.integers(1, 11), seed=st.integers(0, 2**31), size=st.integers(1, 6))
def test_merged_block_equals_the_block_on_random_images(channels: int, hidden: int, seed: int, size: int) -> None:
    torch.manual_seed(seed)
    block = ReparameterizableBlock(channels, hidden).double()
    weight, bias = merged_kernel(block)
    x = torch.randn(2, channels, size, size + 2, dtype=torch.float64)
    with torch.no_grad():
        merged = nn.functional.conv2d(x, weight, bias, padding=1)
        torch.testing.assert_close(merged, block(x), rtol=0, atol=1e-12)


def test_fusing_leaves_the_source_as_it_was() -> None:
    source = network(NetworkConfig(channels=6, blocks=2, hidden=10, stem="gaussian"))
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    addresses = {name: tensor.data_ptr() for name, tensor in source.state_dict().items()}
    fused = fuse(source)
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter.fill_(7)  # shared storage would show in the source
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, before[name]), name
        assert tensor.data_ptr() == addresses[name], name


@needs_data
@pytest.mark.parametrize("scale", [2, 3])
def test_released_networks_fused_in_float64(scale: int) -> None:
    source = load_checkpoint(released(scale), high_frequency="on").network.double()
    x = torch.rand(1, 3, 22, 34, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(fuse(source)(x), source(x), rtol=0, atol=1e-12)


def test_fusing_twice_changes_nothing() -> None:
    once = fuse(network())
    twice = fuse(once)
    assert once.config == twice.config
    assert all(torch.equal(tensor, twice.state_dict()[name]) for name, tensor in once.state_dict().items())
    assert "body.0.conv1.rep_conv.weight" in released_state(twice)


def block() -> ReparameterizableBlock:
    torch.manual_seed(0)
    return ReparameterizableBlock(5, 8)


def prove(made: ReparameterizableBlock, weight: torch.Tensor, bias: torch.Tensor) -> BlockProof:
    """A proof of a merge whose stored weights are sound."""
    return prove_block("block", made, weight, bias, fuse_block(made))


def test_the_right_merge_is_proved() -> None:
    proof = prove(block(), *merged_kernel(block()))
    assert proof.rounding <= ROUNDING_BOUND
    assert proof.measured <= BLOCK_BOUND
    assert proof.impulses == 5 * (25 + 1 + 5 + 5) + 4


def forgotten_outer_identity() -> tuple[torch.Tensor, torch.Tensor]:
    weight, bias = merged_kernel(block())
    weight[range(5), range(5), 1, 1] -= 1
    return weight, bias


def forgotten_inner_identity() -> tuple[torch.Tensor, torch.Tensor]:
    made = block()
    with torch.no_grad():
        made.spatial.weight[range(8), range(8), 1, 1] -= 1
    return merged_kernel(made)


def bias_as_if_padded_with_zeros() -> tuple[torch.Tensor, torch.Tensor]:
    """Right in a corner, where a zero-padded expansion lets four of nine taps see the bias; wrong elsewhere."""
    made = block().double()
    weight, _ = merged_kernel(made)
    seen = torch.zeros(1, 8, 3, 3, dtype=torch.float64)
    seen[..., 1:, 1:] = made.expand.bias.detach()[None, :, None, None]
    with torch.no_grad():
        bias = made.reduce(made.spatial(seen) + made.expand.bias[None, :, None, None])[0, :, 0, 0]
    return weight, bias.detach()


def transposed_kernel() -> tuple[torch.Tensor, torch.Tensor]:
    weight, bias = merged_kernel(block())
    return weight.transpose(2, 3).contiguous(), bias


def swapped_channels() -> tuple[torch.Tensor, torch.Tensor]:
    weight, bias = merged_kernel(block())
    return weight.transpose(0, 1).contiguous(), bias


def one_weight_off_by_a_billionth() -> tuple[torch.Tensor, torch.Tensor]:
    weight, bias = merged_kernel(block())
    weight[3, 2, 0, 2] += 1e-9
    return weight, bias


def merged_in_single_precision() -> tuple[torch.Tensor, torch.Tensor]:
    weight, bias = merged_kernel(block())
    return weight.float().double(), bias.float().double()


@pytest.mark.parametrize(
    "wrong",
    [
        forgotten_outer_identity,
        forgotten_inner_identity,
        bias_as_if_padded_with_zeros,
        transposed_kernel,
        swapped_channels,
        one_weight_off_by_a_billionth,
        merged_in_single_precision,
    ],
)
def test_wrong_merges_are_caught(wrong) -> None:
    assert not prove(block(), *wrong()).measured <= BLOCK_BOUND


def test_nan_is_caught() -> None:
    weight, bias = merged_kernel(block())
    bias[0] = torch.nan
    assert not prove(block(), weight, bias).measured <= BLOCK_BOUND


def test_a_zero_padded_block_would_not_merge() -> None:
    """The proof is sharp at the border: were the 3x3 padded with zeros, as a careless port does, it fails."""

    class Careless(ReparameterizableBlock):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            expanded = self.expand(x)
            padded = nn.functional.pad(expanded, (1, 1, 1, 1))
            return self.reduce(self.spatial(padded) + expanded) + x

    torch.manual_seed(0)
    careless = Careless(5, 8)
    assert not prove(careless, *merged_kernel(careless)).measured <= BLOCK_BOUND


def test_a_block_that_is_not_affine_is_caught() -> None:
    class Bent(ReparameterizableBlock):
        """Agrees with the affine block on zero and on single impulses' scale, but bends in between."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + torch.relu(x.abs() - 1)

    torch.manual_seed(0)
    bent = Bent(5, 8)
    proof = prove(bent, *merged_kernel(bent))
    assert proof.error <= BLOCK_BOUND  # impulses of height 1 alone cannot tell
    assert not proof.measured <= BLOCK_BOUND


def test_every_block_of_a_network_is_proved() -> None:
    source = network(NetworkConfig(channels=6, blocks=3, hidden=10, stem="gaussian"))
    proofs = prove_blocks(source, fuse(source))
    assert [proof.name for proof in proofs] == ["body.0.conv", "body.1.conv", "body.2.conv", "tail.conv", "hfb.conv"]
    assert all(proof.measured <= BLOCK_BOUND and proof.rounding <= ROUNDING_BOUND for proof in proofs)


@pytest.mark.parametrize("leaf", ["weight", "bias"])
def test_the_proof_covers_the_weights_that_ship(leaf: str) -> None:
    source = network()
    fused = fuse(source)
    with torch.no_grad():
        stored = getattr(fused.body[1].conv, leaf)
        stored.view(-1)[3] *= 1 + 2**-22  # four times what rounding may do
    wrong = {proof.name: proof.rounding <= ROUNDING_BOUND for proof in prove_blocks(source, fused)}
    assert wrong == {"body.0.conv": True, "body.1.conv": False, "tail.conv": True}


class WideBlock(MergeableBlock):
    """1x1, then 5x5. Zero padding of the input is right; `careless` pads between the two instead."""

    def __init__(self, careless: bool) -> None:
        super().__init__()
        self.point, self.wide = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 2, 5)
        self.careless = careless

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pad = nn.functional.pad
        return self.wide(pad(self.point(x), (2,) * 4) if self.careless else self.point(pad(x, (2,) * 4)))

    def merged(self) -> tuple[torch.Tensor, torch.Tensor]:
        weight = torch.einsum("omyx,mi->oiyx", self.wide.weight, self.point.weight[:, :, 0, 0])
        return weight, self.wide.weight.sum((2, 3)) @ self.point.bias + self.wide.bias


@pytest.mark.parametrize("careless", [False, True])
def test_kernels_of_other_sizes_are_proved_at_all_their_borders(careless: bool) -> None:
    torch.manual_seed(0)
    made = WideBlock(careless)
    proof = prove_block("block", made, *merged_kernel(made), fuse_block(made))
    assert fuse_block(made).padding == (2, 2)
    assert proof.impulses == 2 * (81 + 1 + 9 + 9) + 4
    assert (proof.measured <= BLOCK_BOUND) is not careless
