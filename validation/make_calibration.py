"""Make the calibration images that ship with the package: a synthetic chart, and crops of scikit-image's photographs.

    python validation/make_calibration.py

Each is what a low-resolution input looks like: downscaled by 2 (bicubic), 160x160.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

OUT = Path(__file__).parents[1] / "toolkit" / "graph" / "precision" / "images"
SIDE = 160
CROPS = {
    "astronaut": (data.astronaut, 60, 90),
    "chelsea": (data.chelsea, 0, 60),
    "coffee": (data.coffee, 40, 120),
    "rocket": (data.rocket, 60, 160),
}


def chart() -> np.ndarray:
    """What photographs have little of: zone plate, hard edges of every colour, thin lines, ramps, noise."""
    side = SIDE // 2
    y, x = np.mgrid[0:side, 0:side]
    plate = np.repeat((127.5 + 127.5 * np.cos((x**2 + y**2) * np.pi / (2 * side)))[..., None], 3, axis=2)
    colours = np.stack([(x // 20 + y // 20) % 2, (x // 20) % 2, (y // 20) % 2], axis=2) * 255.0
    lines = np.repeat((((x + y) % 7 == 0) | (x % 9 == 0))[..., None] * 255.0, 3, axis=2)
    ramps = np.stack([x * 255 / side, y * 255 / side, (x + y) * 255 / (2 * side)], axis=2)
    ramps[side // 2 :] = np.random.default_rng(0).integers(0, 256, (side - side // 2, side, 3))
    return np.vstack([np.hstack([plate, colours]), np.hstack([lines, ramps])]).round().astype(np.uint8)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    Image.fromarray(chart()).save(OUT / "chart.png", optimize=True)
    for name, (load, top, left) in CROPS.items():
        crop = Image.fromarray(load()[top : top + 2 * SIDE, left : left + 2 * SIDE])
        side = min(crop.size) // 2
        crop.resize((side, side), Image.Resampling.BICUBIC).save(OUT / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
