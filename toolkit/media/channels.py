"""Upscaling of colour, grey and transparency by a network of three channels."""

from __future__ import annotations

import numpy as np

from toolkit.images.picture import Samples
from toolkit.media.upscaler import FrameUpscaler


def upscale_colour(network: FrameUpscaler, samples: Samples, white: int) -> Samples:
    result: Samples = network(np.ascontiguousarray(samples.transpose(2, 0, 1)), white).transpose(1, 2, 0)
    return result


def upscale_grey(network: FrameUpscaler, samples: Samples, white: int) -> Samples:
    """(H, W, 1) as three equal channels; the mean of the three results, which are nearly equal."""
    colour = upscale_colour(network, np.repeat(samples, 3, axis=2), white)
    result: Samples = np.rint(colour.mean(axis=2, dtype=np.float32, keepdims=True)).astype(samples.dtype)
    return result


def upscale_with_alpha(network: FrameUpscaler, samples: Samples, white: int) -> Samples:
    """Samples (H, W, 2 or 4) whose last channel is straight (not premultiplied) transparency.

    Colour under full transparency does not influence visible pixels. Transparency is upscaled as grey and clamped to
    its values around each pixel.
    """
    colour, alpha = samples[..., :-1], samples[..., -1:]
    filled = _without_hidden(colour, alpha, network.reach)
    made = upscale_grey(network, filled, white) if colour.shape[2] == 1 else upscale_colour(network, filled, white)
    scale = made.shape[0] // samples.shape[0]
    edges = np.clip(upscale_grey(network, alpha, white), *_neighbourhood(alpha, scale))
    result: Samples = np.concatenate([made, edges], axis=2)
    return result


def _neighbourhood(alpha: Samples, scale: int) -> tuple[Samples, Samples]:
    """Minimum and maximum of the 3x3 pixels around each pixel, repeated to the upscaled size.

    Transparency is clamped to them: what was fully opaque or fully transparent stays exactly so, and edges get no halo.
    """
    padded = np.pad(alpha[..., 0], 1, mode="edge")
    height, width = alpha.shape[:2]
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    lowest, highest = np.minimum.reduce(shifted), np.maximum.reduce(shifted)
    low, high = (np.repeat(np.repeat(item, scale, 0), scale, 1)[..., None] for item in (lowest, highest))
    return low, high


def _without_hidden(colour: Samples, alpha: Samples, reach: int | None) -> Samples:
    """Colour in which fully transparent pixels that influence visible ones are replaced by the colours around them.

    The visible area grows by one pixel in each step; a new pixel is the mean of its neighbours that are known.

    Args:
        colour: (H, W, 1 or 3).
        alpha: (H, W, 1); 0 is fully transparent.
        reach: `FrameUpscaler.reach` of the network. None: any hidden pixel may influence a visible one. Those farther
            away than `_GROWN` are then set to the mean visible colour: growing over a whole image takes too long.
    """
    missing = alpha[..., 0] == 0
    if not missing.any() or missing.all():
        return colour
    result = np.pad(colour, ((1, 1), (1, 1), (0, 0)))
    known = np.pad(~missing, 1)
    for _ in range(_GROWN if reach is None else reach + _EDGE):
        near = known.copy()
        for shift in _AROUND:
            near |= np.roll(known, shift, (0, 1))
        near[[0, -1]] = near[:, [0, -1]] = False
        rows, columns = np.nonzero(near & ~known)
        if not len(rows):
            break
        total, count = np.zeros((len(rows), colour.shape[2])), np.zeros((len(rows), 1))
        for down, right in _AROUND:
            place = rows - down, columns - right
            total += result[place] * known[place][:, None]
            count += known[place][:, None]
        result[rows, columns] = np.rint(total / count)
        known[rows, columns] = True
    filled: Samples = result[1:-1, 1:-1]
    if reach is None:
        filled[~known[1:-1, 1:-1]] = np.rint(colour[~missing].mean(axis=0))
    return filled


_AROUND = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
_EDGE = 1
"""Pixels by which upscaled transparency may reach beyond visible ones: see `_neighbourhood`."""
_GROWN = 32
"""Pixels that the visible area grows by if the reach of the network is not known."""
