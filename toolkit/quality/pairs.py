"""The image pairs of a measurement, kept on disk so that only a few are in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.errors import InputError
from toolkit.quality.data import Degradation, Item, Pixels, bicubic, find_items, load_pair
from toolkit.quality.measurement import Metrics, measure
from toolkit.quality.metrics import WINDOW
from toolkit.workloads import Shape


@dataclass(frozen=True)
class PairList:
    """Images to measure on, which are not read yet.

    Attributes:
        items: the images.
        scale: of the pairs.
        border: pixels that are ignored at each edge.
        fixed: low-resolution size that all images are cropped to; None: they keep theirs.
    """

    items: tuple[Item, ...]
    scale: int
    border: int
    fixed: Shape | None = None

    @classmethod
    def found(
        cls, directories: Sequence[Path], scale: int, border: int | None = None, fixed: Shape | None = None
    ) -> PairList:
        """The images of some directories.

        Args:
            directories: see `find_items`.
            scale: of the pairs.
            border: None: the scale, as is usual.
            fixed: see the class.

        Raises:
            InputError: the border is negative, or a directory cannot be used.
        """
        width = scale if border is None else border
        if width < 0:
            raise InputError(f"border {width} must not be negative")
        return cls(tuple(find_items(directories, scale)), scale, width, fixed)

    @property
    def indices(self) -> range:
        return range(len(self.items))

    def store(self, index: int, degradation: Degradation, store: ImageStore) -> Metrics:
        """Read a pair, or compute its low-resolution image, and store it as `low` and `high`.

        Returns:
            The metrics of the bicubic baseline.

        Raises:
            InputError: an image cannot be read, or is too small for SSIM.
        """
        item = self.items[index]
        pair = load_pair(item, self.scale, degradation, self.fixed)
        height, width = pair.high.shape[:2]
        if min(height, width) - 2 * self.border < WINDOW:
            wanted = f"{WINDOW}x{WINDOW} pixels inside a border of {self.border}"
            raise InputError(
                f"{item.high} is too small: {width}x{height}; SSIM needs {wanted}", "Remove it from the set."
            )
        store.put("low", index, pair.low)
        store.put("high", index, pair.high)
        return measure(bicubic(pair.low, self.scale), pair.high, self.border).metrics


class ImageStore:
    """Images in a directory, by kind and number."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, kind: str, index: int, pixels: Pixels) -> None:
        np.save(self._path(kind, index), pixels)

    def get(self, kind: str, index: int) -> Pixels:
        pixels: Pixels = np.load(self._path(kind, index))
        return pixels

    def _path(self, kind: str, index: int) -> Path:
        return self._directory / f"{kind}-{index}.npy"
