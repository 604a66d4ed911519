"""One picture, from file to file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit.errors import InputError
from toolkit.images.picture import Picture, Samples
from toolkit.images.reading import read_picture
from toolkit.media.pictures.output import PictureFormat, write_picture
from toolkit.media.target import Target, resized
from toolkit.media.upscaler import Upscaler
from toolkit.workloads import Shape

Networks = Callable[[int], Upscaler]
"""The network for a scale, loaded once."""


def upscale_image(
    source: Path,
    destination: Path,
    networks: Networks,
    target: Target,
    options: PictureFormat,
    *,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Upscale a picture file.

    Returns:
        Notes about what was not kept.

    Raises:
        InputError: it cannot be read or written, or is as large as asked already.
        OutputExists: the destination exists, and `overwrite` is false.
    """
    picture = read_picture(source)
    try:
        made = upscale_picture(picture, networks, target)
    except InputError as error:
        raise InputError(f"{source}: {error.args[0]}", error.remedy) from error
    return (*picture.notes, *write_picture(destination, made, options, overwrite=overwrite))


def upscale_picture(picture: Picture, networks: Networks, target: Target) -> Picture:
    """Upscale samples; colour, transparency and black ink each by themselves."""
    shape = Shape(*picture.samples.shape[:2])
    scale, result = target.result(shape)
    network, white = networks(scale), picture.white
    samples = picture.samples
    if picture.mode == "L":
        made = _grey(network, samples, white)
    elif picture.mode == "RGB":
        made = _colour(network, samples, white)
    elif picture.mode == "CMYK":
        # Less ink is lighter: turned round, inks are what the network was trained on.
        paper = white - samples
        made = white - np.concatenate(
            [_colour(network, paper[..., :3], white), _grey(network, paper[..., 3:], white)], axis=2
        )
    else:
        made = upscale_with_alpha(network, samples, white)
    return replace(picture, samples=resized(made, result))


def _colour(network: Upscaler, samples: Samples, white: int) -> Samples:
    result: Samples = network(np.ascontiguousarray(samples.transpose(2, 0, 1)), white).transpose(1, 2, 0)
    return result


def _grey(network: Upscaler, samples: Samples, white: int) -> Samples:
    """Three equal channels in; out come nearly equal ones, of which the mean is taken."""
    colour = _colour(network, np.repeat(samples, 3, axis=2), white)
    result: Samples = np.rint(colour.mean(axis=2, dtype=np.float32, keepdims=True)).astype(samples.dtype)
    return result


def upscale_with_alpha(network: Upscaler, samples: Samples, white: int) -> Samples:
    """Samples (H, W, 2 or 4) whose last channel is straight transparency.

    Hidden colour does not bleed in, and transparency passes through the network as grey, within what it is around each
    pixel.
    """
    colour, alpha = samples[..., :-1], samples[..., -1:]
    filled = _without_hidden(colour, alpha)
    made = _grey(network, filled, white) if colour.shape[2] == 1 else _colour(network, filled, white)
    scale = made.shape[0] // samples.shape[0]
    edges = np.clip(_grey(network, alpha, white), *_neighbourhood(alpha, scale))
    result: Samples = np.concatenate([made, edges], axis=2)
    return result


def _neighbourhood(alpha: Samples, scale: int) -> tuple[Samples, Samples]:
    """The least and the most in 3x3 pixels around each: between them transparency stays, so that what was opaque or
    empty is so to the last grey level, and edges get no halo."""
    padded = np.pad(alpha[..., 0], 1, mode="edge")
    height, width = alpha.shape[:2]
    shifted = [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    least, most = np.minimum.reduce(shifted), np.maximum.reduce(shifted)
    low, high = (np.repeat(np.repeat(item, scale, 0), scale, 1)[..., None] for item in (least, most))
    return low, high


def _without_hidden(colour: Samples, alpha: Samples) -> Samples:
    """Colour in which what lies under full transparency, as far as the network can see it from where something shows,
    is replaced by colours nearby: nothing hidden bleeds in.

    Grows inwards pixel by pixel, each taking the mean of its neighbours that are known already.
    """
    missing = alpha[..., 0] == 0
    if not missing.any() or missing.all():
        return colour
    result = np.pad(colour, ((1, 1), (1, 1), (0, 0)))
    known = np.pad(~missing, 1)
    for _ in range(_SIGHT):
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
    return filled


_AROUND = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
_SIGHT = 20
"""Pixels; a little more than RT4KSR's halo."""
