"""Size of the results, and the scale of the network for it."""

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
    """The scale of the network, or a size to fit into.

    Attributes:
        scale: of the network; None with `box`.
        box: height and width for a landscape picture; exchanged for portraits.

    Example:
        >>> target = toolkit.Target.of(scale=None, to="4k")
        >>> scale, size = target.result(toolkit.Shape(720, 1280))
        >>> print(scale, size)
        3 3840x2160
    """

    scale: int | None = 2
    box: Shape | None = None

    @classmethod
    def of(cls, scale: int | None, to: str | None) -> Target:
        """From the options of a command.

        Raises:
            InputError: both are given, there is no such scale, or `to` is not a size.
        """
        if scale is not None and to is not None:
            raise InputError("--scale and --to exclude each other", "Say by how much, or how large.")
        if to is not None:
            return cls(None, Shape(*sorted(parse_shape(to).sides)))  # landscape, in whichever order it was typed
        if scale not in (None, *SCALES):
            raise InputError(f"there is no network for x{scale}", f"Choose from {', '.join(map(str, SCALES))}.")
        return cls(scale or 2)

    def result(self, shape: Shape) -> tuple[int, Shape]:
        """The network's scale for a picture of size `shape`, and the size of the result.

        The smallest scale that reaches the box is used, so that the result is then reduced rather than enlarged.
        Proportions are kept to the nearest pixel.

        Raises:
            InputError: the picture is not smaller than the box.
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
    """Samples (H, W, C) resized by Pillow's Lanczos filter; 16 bits in floating point."""
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
