"""The pictures that int8 is fine-tuned on, made of photographs.

    python validation/training/reduced.py PHOTOS OUTPUT SCALE

Photographs of many megapixels are smooth from pixel to pixel. Trained on them, the ranges of int8 become too small for
small pictures and graphics, whose edges are sharp. So each photograph is reduced to a third and a quarter of its size,
and with all values but the darkest and the brightest removed; and there is a part of it at half its size.

Training reduces a picture once more, by the scale of the network, and text on a screen is sharper than anything that
was reduced. So there are pages of text, thin lines and pictures of two levels whose pixels are repeated, SCALE times in
both directions: reduced, they are nearly what a screen shows. Their truth is nothing to learn from, but the float32
network is the teacher. The toolkit's own images, which ranges are calibrated on, are there in both forms.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from toolkit.graph.precision.calibration import calibration_images

Image.MAX_IMAGE_PIXELS = None

_COPIES = 12
"""Of each of the toolkit's images, which have 25,600 pixels."""

_PAGES, _SIDE = 120, 192
"""Number of pages of text, and their height and width before pixels are repeated."""

_TEXT = "Hamburgefonstiv 0123456789 The quick brown fox jumps over it, il|1 {#@} & <x> %"


def main() -> None:
    photos, output, scale = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    output.mkdir(parents=True)
    for path in sorted(photos.iterdir()):
        photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        half = photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)
        width, height = half.width // 3, half.height // 3
        levels = reduced(two_levels(half), 3)
        made = {
            "third": reduced(half, 1.5),
            "quarter": reduced(half, 2),
            "halfpart": half.crop((width, height, 2 * width, 2 * height)),
            "twolevels": levels,
            "screen": repeated(levels.crop((0, 0, 200, 200)), scale),
        }
        for name, picture in made.items():
            picture.save(output / f"{path.stem}_{name}.png", compress_level=1)

    for index, pixels in enumerate(calibration_images()):
        image = Image.fromarray(pixels)
        repeated(image, scale).save(output / f"toolkit{index}_screen.png")
        for copy in range(_COPIES):
            image.save(output / f"toolkit{index}_{copy}.png")

    random = np.random.default_rng(0)
    for index in range(_PAGES):
        repeated(page(random), scale).save(output / f"page{index}_screen.png", compress_level=1)


def page(random: np.random.Generator) -> Image.Image:
    """Lines of text of several sizes, and thin lines, in two colours."""
    paper, ink = (tuple(int(value) for value in random.choice([0, 0, 64, 128, 192, 255, 255], 3)) for _ in range(2))
    image = Image.new("RGB", (_SIDE, _SIDE), paper)
    draw, top = ImageDraw.Draw(image), 0
    while top < _SIDE:
        size = int(random.integers(8, 26))
        colour = ink if random.random() < 0.8 else tuple(int(value) for value in random.integers(0, 256, 3))
        place, text = (int(random.integers(-20, 10)), top), _TEXT[int(random.integers(0, 20)) :]
        draw.text(place, text, fill=colour, font=ImageFont.load_default(size))
        top += int(size * 1.25)
    for _ in range(4):
        draw.line([int(value) for value in random.integers(0, _SIDE, 4)], fill=ink, width=1)
    return image


def repeated(picture: Image.Image, scale: int) -> Image.Image:
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def reduced(picture: Image.Image, factor: float) -> Image.Image:
    size = int(picture.width / factor), int(picture.height / factor)
    return picture.resize(size, Image.Resampling.LANCZOS)


def two_levels(picture: Image.Image) -> Image.Image:
    """Each channel 0 or 255: below or above its median."""
    values = np.asarray(picture).astype(float)
    return Image.fromarray(((values > np.median(values, axis=(0, 1))) * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
