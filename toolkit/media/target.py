"""Size of the results, and the scale of the network for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from toolkit.errors import InputError
from toolkit.images.picture import Samples
from toolkit.workloads import Shape, parse_shape

SCALES = (1, 2, 3, 4)
"""The scales to choose from where it is not known which networks are there."""


@dataclass(frozen=True)
class Target:
    """The scale of the network, or a size to fit into.

    Attributes:
        scale: of the network; None with `box`.
        box: height and width for a landscape picture; exchanged for portraits.
        scales: of the networks to choose from for `box`; `upscale` takes those that are there.

    Example:
        >>> target = toolkit.Target.of(scale=None, to="4k")
        >>> scale, size = target.result(toolkit.Shape(720, 1280))
        >>> print(scale, size)
        3 3840x2160
    """

    scale: int | None = 2
    box: Shape | None = None
    scales: tuple[int, ...] = SCALES

    @classmethod
    def of(cls, scale: int | None, to: str | None) -> Target:
        """From the options of a command.

        Raises:
            InputError: both are given, the scale is not positive, or `to` is not a size.
        """
        if scale is not None and to is not None:
            raise InputError("--scale and --to cannot be combined", "Give the factor or the size.")
        if to is not None:
            return cls(None, Shape(*sorted(parse_shape(to).sides)))  # as landscape, whichever side was given first
        if scale is not None and scale < 1:
            raise InputError(f"scale {scale} is not positive", "x1 keeps the size, x2 doubles height and width.")
        return cls(2 if scale is None else scale)

    def result(self, shape: Shape) -> tuple[int, Shape]:
        """The network's scale for a picture of size `shape`, and the size of the result.

        The smallest scale that reaches the box is used, so that the result is then reduced rather than enlarged; where
        none does, the largest one. Proportions are kept to the nearest pixel.

        Raises:
            InputError: the picture is not smaller than the box, or none of the networks enlarges.
        """
        if self.box is None:
            scale = 2 if self.scale is None else self.scale
            return scale, shape.upscaled(scale)
        box = self.box if shape.width >= shape.height else Shape(self.box.width, self.box.height)
        factor = min(box.height / shape.height, box.width / shape.width)
        if factor <= 1:
            raise InputError(
                f"it is {shape}, which is not smaller than {box}",
                "There is nothing to upscale.",
            )
        enlarging = sorted(scale for scale in self.scales if scale > 1)
        if not enlarging:
            raise InputError(
                f"it is {shape}, and no available network enlarges it to {box}",
                "Choose one with --model, or --scale 1.",
            )
        scale = next((item for item in enlarging if item >= factor - 1e-9), enlarging[-1])
        return scale, Shape(max(1, round(shape.height * factor)), max(1, round(shape.width * factor)))

    def note(self, shape: Shape) -> str:
        """A note if the network does not reach the box for a picture of size `shape`; otherwise empty.

        Raises:
            InputError: as `result`.
        """
        scale, result = self.result(shape)
        reached = shape.upscaled(scale)
        short = reached.height < result.height and reached.width < result.width
        return f"x{scale} reaches {reached}; Lanczos interpolation enlarged it to {result}" if short else ""


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
