import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import DATA, SMALL, needs_data, network, released

from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.model import RT4KSR
from toolkit.network.building import untrained_network
from toolkit.network.checkpoint import load_checkpoint
from toolkit.network.fusion import fuse
from toolkit.network.module import numpy_function, parameter_count


@settings(deadline=None, max_examples=30)
@given(
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    batch=st.integers(1, 3),
    scale=st.integers(2, 3),
    high_frequency=st.booleans(),
)
def test_any_size_is_upscaled_to_exactly_scale_times(
    height: int, width: int, batch: int, scale: int, high_frequency: bool
) -> None:
    config = NetworkConfig(scale=scale, channels=4, blocks=1, hidden=6, stem="gaussian" if high_frequency else "none")
    with torch.inference_mode():
        result = network(config)(torch.rand(batch, 3, height, width))
    assert result.shape == (batch, 3, scale * height, scale * width)
    assert result.isfinite().all()


@pytest.mark.parametrize("size", [(7, 9), (1, 4), (1, 1)])
def test_odd_sizes_are_extended_by_reflection_and_cropped(size: tuple[int, int]) -> None:
    made = network()
    x = np.random.default_rng(0).random((1, 3, *size), np.float32)
    height, width = (side + side % 2 for side in size)
    extended = x
    for axis, target in ((2, height), (3, width)):
        mode = "reflect" if extended.shape[axis] > 1 else "edge"
        padding = [(0, 0)] * 4
        padding[axis] = (0, target - extended.shape[axis])
        extended = np.pad(extended, padding, mode=mode)
    function = numpy_function(made, "float32")
    expected = function(extended)[..., : 2 * size[0], : 2 * size[1]]
    np.testing.assert_allclose(function(x), expected, rtol=0, atol=1e-6)


def test_a_batch_is_its_images_one_by_one() -> None:
    function = numpy_function(network(), "float64")
    x = np.random.default_rng(0).random((3, 3, 10, 12))
    np.testing.assert_allclose(function(x), np.concatenate([function(image[None]) for image in x]), atol=1e-12)


def test_the_high_frequency_branch_joins_before_the_tail() -> None:
    """gamma * deep + hf, with the same head for both (the reference code's `forget`)."""
    config = NetworkConfig(scale=2, channels=4, blocks=1, hidden=6, stem="gaussian")
    made = network(config).double()
    x = torch.rand(1, 3, 8, 10, dtype=torch.float64)
    unshuffle, shuffle = torch.nn.PixelUnshuffle(2), torch.nn.PixelShuffle(4)
    with torch.inference_mode():
        deep = made.body(made.head(unshuffle(x)))
        high = torch.nn.functional.gelu(made.hfb.conv(made.head(unshuffle(made.high_pass(x)))))
        expected = shuffle(made.upsample(made.tail(made.gamma * deep + high)))
        torch.testing.assert_close(made(x), expected)
        made.gamma.zero_()
        assert (made(x) - expected).abs().max() > 1e-3


def test_untrained_networks_depend_on_the_seed_only() -> None:
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = untrained_network(SMALL, 3).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert all(torch.equal(first[name], tensor) for name, tensor in untrained_network(SMALL, 3).state_dict().items())
    assert not torch.equal(first["head.weight"], untrained_network(SMALL, 4).state_dict()["head.weight"])


@needs_data
@pytest.mark.parametrize("scale", [2, 3])
def test_parameter_counts_are_the_published_ones(scale: int) -> None:
    published = json.loads((DATA / "reference.json").read_text())["model"][f"x{scale}"]
    with_branch = load_checkpoint(released(scale), high_frequency="on").network
    live = load_checkpoint(released(scale)).network
    assert parameter_count(with_branch) == published["params_training_form"]
    assert parameter_count(fuse(with_branch)) == published["params_fused"]
    assert parameter_count(fuse(live)) == published["params_fused_live"]


@needs_data
@pytest.mark.parametrize("scale", [2, 3])
def test_the_released_checkpoints_reach_their_published_quality(scale: int) -> None:
    """The whole chain of reading and merging, held against figures nobody here computed with this code."""
    reference = json.loads((DATA / "reference.json").read_text())
    made = fuse(load_checkpoint(released(scale)).network)
    psnrs = []
    for path in sorted((DATA / "images" / "Set5" / f"x{scale}" / "LR").glob("*.png")):
        low = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
        low = low[: low.shape[0] // 2 * 2, : low.shape[1] // 2 * 2]
        high = np.asarray(Image.open(str(path).replace("/LR/", "/HR/")).convert("RGB"), np.float64)
        high = high[: low.shape[0] * scale, : low.shape[1] * scale]
        result = upscaled(made, low)
        psnrs.append(psnr_y(result, high, scale))
    assert np.mean(psnrs) == pytest.approx(reference[f"x{scale}"]["Set5"]["psnr_y"], abs=reference["tolerance_db"])


def upscaled(made: RT4KSR, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        result = made(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    return np.round(result.clip(0, 1) * 255)


def psnr_y(result: np.ndarray, reference: np.ndarray, border: int) -> float:
    luma = [image @ np.array([65.481, 128.553, 24.966]) / 255 + 16 for image in (result, reference)]
    error = (luma[0] - luma[1])[border:-border, border:-border]
    return float(10 * np.log10(255**2 / np.mean(error**2)))
