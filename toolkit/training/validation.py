"""Validation during training: PSNR of luma."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.network.module import NetworkModule
from toolkit.port import PLANAR
from toolkit.quality.data import Degradation, Item, load_pair
from toolkit.quality.measurement import BEST_PSNR
from toolkit.quality.metrics import luma, psnr, squared_error
from toolkit.training.processes import placed

BORDER = 0
"""Pixels left out at each edge: none. `toolkit evaluate` leaves out as many pixels as the scale, as most papers do."""


def psnr_y(output: NDArray[np.uint8], original: NDArray[np.uint8], border: int = BORDER) -> float:
    """PSNR in dB of ITU-R BT.601 luma (16..235) of two images (H, W, 3), at most 100, which stands for equality."""
    inner = slice(border, -border or None)
    return min(psnr(squared_error(luma(output[inner, inner]), luma(original[inner, inner]))), BEST_PSNR)


def validate(
    network: NetworkModule, items: Sequence[Item], jpeg_quality: int | None, device: torch.device, border: int = BORDER
) -> Iterator[float]:
    """`psnr_y` of the network's output for each image, computed in float32 and rounded to uint8.

    Args:
        network: in the form in which it is used.
        items: what to measure on.
        jpeg_quality: of low-resolution images that are made for this; None: no compression.
        device: to compute on.
        border: pixels to leave out at each edge.

    Raises:
        InputError: an image cannot be read.
    """
    scale = network.config.scale
    network = placed(network.eval(), device)
    for item in items:
        pair = load_pair(item, scale, Degradation(jpeg=jpeg_quality))
        with torch.inference_mode():
            output = network(torch.from_numpy(PLANAR.from_image(pair.low)).to(device))
        yield psnr_y(PLANAR.to_image(output.cpu().numpy()), pair.high, border)
