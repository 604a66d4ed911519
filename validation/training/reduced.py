"""The pictures that int8 is fine-tuned on, made of photographs.

    python validation/training/reduced.py PHOTOS OUTPUT

Photographs of many megapixels are smooth from pixel to pixel. Trained on them, the ranges of int8 become too small for
small pictures and graphics, whose edges are sharp. So each photograph is reduced to a third, a quarter and a sixth of
its size, and with all values but the darkest and the brightest removed; and there is a part of it at half its size. The
toolkit's own images, which ranges are calibrated on, are there as well, often enough to count.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from toolkit.graph.precision.calibration import calibration_images

Image.MAX_IMAGE_PIXELS = None

_COPIES = 12
"""Of each of the toolkit's images, which have 25,600 pixels."""


def main() -> None:
    photos, output = map(Path, sys.argv[1:])
    output.mkdir(parents=True)
    for path in sorted(photos.iterdir()):
        photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        half = photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)
        width, height = half.width // 3, half.height // 3
        made = {
            "third": reduced(half, 1.5),
            "quarter": reduced(half, 2),
            "sixth": reduced(half, 3),
            "halfpart": half.crop((width, height, 2 * width, 2 * height)),
            "twolevels": reduced(two_levels(half), 3),
        }
        for name, picture in made.items():
            picture.save(output / f"{path.stem}_{name}.png", compress_level=1)

    for index, image in enumerate(calibration_images()):
        for copy in range(_COPIES):
            Image.fromarray(image).save(output / f"toolkit{index}_{copy}.png")


def reduced(picture: Image.Image, factor: float) -> Image.Image:
    size = int(picture.width / factor), int(picture.height / factor)
    return picture.resize(size, Image.Resampling.LANCZOS)


def two_levels(picture: Image.Image) -> Image.Image:
    """Each channel 0 or 255: below or above its median."""
    values = np.asarray(picture).astype(float)
    return Image.fromarray(((values > np.median(values, axis=(0, 1))) * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
