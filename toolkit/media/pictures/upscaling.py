"""Upscaling of one picture, from file to file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit.errors import InputError
from toolkit.images.picture import Picture
from toolkit.images.reading import read_picture
from toolkit.media.channels import upscale_colour, upscale_grey, upscale_with_alpha
from toolkit.media.pictures.output import PictureFormat, write_picture
from toolkit.media.target import Target, resized
from toolkit.media.upscaler import FrameUpscaler
from toolkit.workloads import Shape

Networks = Callable[[int], FrameUpscaler]
"""Returns the network of a scale, which is loaded once."""


def upscale_image(
    source: Path,
    destination: Path,
    networks: Networks,
    target: Target,
    options: PictureFormat,
    *,
    overwrite: bool = False,
) -> tuple[int, tuple[str, ...]]:
    """Upscale a picture file.

    Returns:
        The scale of the network, and notes about what was not kept.

    Raises:
        InputError: the picture cannot be read or written, or has the requested size already.
        OutputExists: the destination exists, and `overwrite` is false.
    """
    picture = read_picture(source)
    try:
        scale, made = upscale_picture(picture, networks, target)
    except InputError as error:
        raise InputError(f"{source}: {error.args[0]}", error.remedy) from error
    return scale, (*made.notes, *write_picture(destination, made, options, overwrite=overwrite))


def upscale_picture(picture: Picture, networks: Networks, target: Target) -> tuple[int, Picture]:
    """Upscale a picture in memory; colour, transparency and black ink are upscaled separately.

    Returns:
        The scale of the network, and the result, whose notes include what the target has to say.
    """
    shape = Shape(*picture.samples.shape[:2])
    scale, result = target.result(shape)
    notes = (*picture.notes, *filter(None, [target.note(shape)]))
    network, white = networks(scale), picture.white
    samples = picture.samples
    if picture.mode == "L":
        made = upscale_grey(network, samples, white)
    elif picture.mode == "RGB":
        made = upscale_colour(network, samples, white)
    elif picture.mode == "CMYK":
        # More ink is darker: inverted, the inks look like the RGB that the network was trained on.
        paper = white - samples
        made = white - np.concatenate(
            [upscale_colour(network, paper[..., :3], white), upscale_grey(network, paper[..., 3:], white)], axis=2
        )
    else:
        made = upscale_with_alpha(network, samples, white)
    return scale, replace(picture, samples=resized(made, result), notes=notes)
