"""Draw the picture of the README: part of the demonstration's picture, enlarged by bicubic interpolation and by RT4KSR.

    python validation/readme_picture.py

Both halves are made from the same low-resolution picture. Each pixel is shown as a square of three, so that a browser
does not smooth what is compared.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import toolkit
from toolkit.demonstration.demo import SCALE, picture
from toolkit.images.resizing import downscaled
from toolkit.quality.data import bicubic

OUT = Path(__file__).parents[1] / "docs" / "images" / "before_after.png"
TOP, LEFT, HEIGHT, WIDTH = 60, 88, 150, 150
ENLARGED = 3


def main() -> None:
    low = downscaled(picture(), SCALE)
    with toolkit.Upscaler(scale=SCALE, runtime="ort-cpu") as upscale:
        results = bicubic(low, SCALE), upscale(low)
    rows, columns = slice(TOP, TOP + HEIGHT), slice(LEFT, LEFT + WIDTH)
    joined = np.concatenate([result[rows, columns] for result in results], axis=1)
    OUT.parent.mkdir(exist_ok=True)
    Image.fromarray(joined.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)).save(OUT, optimize=True)


if __name__ == "__main__":
    main()
