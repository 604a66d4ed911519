"""How large a result is to be, and which network brings it there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from toolkit.errors import InputError
from toolkit.images.picture import Samples
from toolkit.workloads import Shape, parse_shape

SCALES = (2, 3)


@dataclass(frozen=True)
class Target:
    """By how much to upscale: a network's scale, or a size that the result is to fit into.

    Attributes:
        scale: of the network; None with `box`.
        box: height and width of a landscape picture; portraits take it turned.
    """

    scale: int | None = 2
    box: Shape | None = None

    @classmethod
    def of(cls, scale: int | None, to: str | None) -> Target:
        """From what a user wrote.

        Raises:
            InputError: both, a scale that there is none of, or no size.
        """
        if scale is not None and to is not None:
            raise InputError("--scale and --to exclude each other", "Say by how much, or how large.")
        if to is not None:
            return cls(None, Shape(*sorted(parse_shape(to).sides)))  # lying, however it was typed
        if scale not in (None, *SCALES):
            raise InputError(f"there is no network for x{scale}", f"Choose from {', '.join(map(str, SCALES))}.")
        return cls(scale or 2)

    def result(self, shape: Shape) -> tuple[int, Shape]:
        """The network's scale for a picture of this size, and the size of the result.

        The smaller scale that reaches the box, so that the rest is a reduction wherever possible. Proportions stay,
        to the nearest pixel.

        Raises:
            InputError: the picture is that large already.
        """
        if self.box is None:
            scale = self.scale or 2
            return scale, shape.upscaled(scale)
        box = self.box if shape.width >= shape.height else Shape(self.box.width, self.box.height)
        factor = min(box.height / shape.height, box.width / shape.width)
        if factor <= 1:
            raise InputError(
                f"it is {shape}, and so not smaller than {box}",
                "There is nothing to upscale.",
            )
        scale = next((item for item in SCALES if item >= factor - 1e-9), SCALES[-1])
        return scale, Shape(max(1, round(shape.height * factor)), max(1, round(shape.width * factor)))


def resized(samples: Samples, shape: Shape) -> Samples:
    """(H, W, C) brought to a size with Pillow's Lanczos, in floating point for 16 bits."""
    if samples.shape[:2] == shape.sides:
        return samples
    size, white = (shape.width, shape.height), 255 if samples.dtype == np.uint8 else 65535
    channels = []
    for index in range(samples.shape[2]):
        plane = np.ascontiguousarray(samples[..., index])
        image = Image.fromarray(plane if white == 255 else plane.astype(np.float32))
        channel = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
        channels.append(channel if white == 255 else np.rint(np.clip(channel, 0, white)).astype(np.uint16))
    result: Samples = np.stack(channels, 2)
    return result
