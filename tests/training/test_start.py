"""The weights a run begins with."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray
from photographs import picture
from torch import Tensor, nn

from toolkit.images.resizing import resize_bicubic
from toolkit.network.architectures.rt4ksr.config import NetworkConfig
from toolkit.network.architectures.rt4ksr.model import RT4KSR
from toolkit.network.architectures.rt4ksr.presets import PRESETS
from toolkit.network.architectures.rt4ksr.start import fitted_start
from toolkit.network.building import untrained_network
from toolkit.quality.metrics import psnr, squared_error
from toolkit.training.config import TrainingConfig
from toolkit.training.degradation import degrade
from toolkit.training.loop import LAST_FILE, train
from toolkit.training.sampling import Batch
from toolkit.training.step import on_device
from toolkit.workloads import Shape

CPU = torch.device("cpu")


def patches(scale: int, seed: int = 0, count: int = 8, size: int = 24) -> Batch:
    high = np.stack([picture(size * scale, size * scale, seed + index) for index in range(count)])
    return Batch(degrade(high, scale), high)


def fitted(config: NetworkConfig) -> tuple[RT4KSR, Tensor, Tensor]:
    network = untrained_network(config)
    low, high = on_device(patches(config.scale), CPU)
    fitted_start(network, low, high)
    return network, low, high


def crops(photograph: NDArray[np.uint8], scale: int) -> Batch:
    size = 24 * scale
    rows, columns = (length // size for length in photograph.shape[:2])
    whole = photograph[: rows * size, : columns * size, :3].reshape(rows, size, columns, size, 3)
    high = np.ascontiguousarray(whole.swapaxes(1, 2).reshape(-1, size, size, 3))
    return Batch(degrade(high, scale), high)


@pytest.mark.parametrize("scale", [2, 3])
def test_it_is_better_than_bicubic_on_photographs_it_has_not_seen(scale: int) -> None:
    network = untrained_network(NetworkConfig(scale=scale))
    fitted_start(network, *on_device(crops(skimage.data.astronaut(), scale), CPU))
    unseen = crops(skimage.data.chelsea(), scale)
    low, _ = on_device(unseen, CPU)
    with torch.inference_mode():
        outputs = network(low).clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    bicubic = np.stack([resize_bicubic(image, Shape(24 * scale, 24 * scale)) for image in unseen.low])
    assert psnr(squared_error(outputs, unseen.high)) > psnr(squared_error(bicubic, unseen.high))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_last_convolution_solves_least_squares(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the mean squared error is least, its gradient is zero; and every preset gets better by far."""
    network, low, high = fitted(PRESETS[preset])
    plain = untrained_network(PRESETS[preset])
    before = (plain(low) - high).square().mean()
    # Values that are clipped have no gradient: of such a network, the error of what comes before the clipping.
    clamp = torch.Tensor.clamp
    monkeypatch.setattr(torch.Tensor, "clamp", lambda x, *limits: x if limits == (0, 1) else clamp(x, *limits))
    error = (network.double()(low.double()) - high).square().mean()
    assert error < 0.02 * before
    last = network.upsample
    assert isinstance(last, nn.Conv2d)
    gradients = torch.autograd.grad(error, list(last.parameters()))
    # Against what it is at another point nearby: 1 % more of everything.
    with torch.no_grad():
        last.weight *= 1.01
    elsewhere = torch.autograd.grad((network(low.double()) - high).square().mean(), list(last.parameters()))
    for here, there in zip(gradients, elsewhere, strict=True):
        assert here.abs().max() < 0.01 * there.abs().max()


@pytest.mark.parametrize("preset", ["rt4ksr", "separable", "naf-eca", "rrb"])
def test_pixels_are_handed_on(preset: str) -> None:
    """At the end of the tail they can be read off: what GELU and LayerNorm did can be undone."""
    network, low, _ = fitted(PRESETS[preset])
    seen: list[Tensor] = []
    handle = network.tail.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.inference_mode(), handle:
        network.forward_aligned(low)
    pixels = torch.nn.functional.pixel_unshuffle(low, network.config.shuffle)
    count = pixels.shape[1]
    # The two constants tell what LayerNorm took away.
    columns = seen[0][:, : count + 2].transpose(0, 1).flatten(1).double()
    columns = torch.cat([columns, torch.ones_like(columns[:1])])
    wanted = pixels.transpose(0, 1).flatten(1).double()
    solution = torch.linalg.lstsq(columns.T, wanted.T).solution
    remaining = (columns.T @ solution - wanted.T).square().mean() / wanted.var()
    assert remaining < 0.05


def test_a_run_begins_with_it_and_random_weights_can_be_had(config: TrainingConfig, tmp_path: Path) -> None:
    made = {}
    for start in ("fitted", "random"):
        settings = msgspec.structs.replace(config, start=start, iterations=1)
        train(settings, tmp_path / start, cache=tmp_path / "cache")
        made[start] = (tmp_path / start / LAST_FILE).read_bytes()
    train(msgspec.structs.replace(config, iterations=1), tmp_path / "again", cache=tmp_path / "cache")
    assert made["fitted"] != made["random"]
    assert (tmp_path / "again" / LAST_FILE).read_bytes() == made["fitted"]
