"""Ranges of activations for int8, measured on images by ONNX Runtime's calibrators.

An int8 value is a multiple of a step, and 127 steps are the range. A larger range cuts off fewer activations and rounds
all others more coarsely. The method of choosing it: `minmax` cuts off nothing; `percentile` cuts off the largest
magnitudes (0.01 % by default), which costs those few a lot and makes all others more precise; `entropy` chooses the
range whose histogram differs least from the original one (Kullback-Leibler divergence).
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.errors import InputError, Unavailable
from toolkit.graph.precision.options import Method
from toolkit.images import centre_crop, find_images, read_rgb
from toolkit.port import Port
from toolkit.sizes import EVEN, SizeRule
from toolkit.system.extras import how_to_install
from toolkit.workloads import Shape

_MOST_IMAGES = 32
_LARGEST_SIDE = 256

_SMALLEST_SIDE = 32
"""Of images that people give. What little smaller ones hold says nothing about ranges, and less about quality."""


def calibration_images(directory: Path | None = None, sizes: SizeRule = EVEN) -> list[NDArray[np.uint8]]:
    """RGB images (H, W, 3), at most 32 and at most 256x256 (centre crops).

    Args:
        directory: where to look; see `usable_images`. None: those that ship with the toolkit.
        sizes: that the network takes; images are cropped to such a size.

    Raises:
        As `usable_images`.
    """
    if directory is None:
        with as_file(files("toolkit.graph.precision") / "images") as shipped:
            return calibration_images(shipped, sizes)
    return usable_images(directory, sizes)[0]


def usable_images(directory: Path, sizes: SizeRule) -> tuple[list[NDArray[np.uint8]], tuple[Path, ...]]:
    """The first images of a directory, searched recursively, and the files that were left out: damaged, too small, or
    of a kind that cannot be read.

    Raises:
        InputError: no directory, no images, or fewer of them can be used than cannot.
        Unavailable: reading one needs the extra `images`.
    """
    images: list[NDArray[np.uint8]] = []
    refused: dict[Path, InputError] = {}
    for path in find_images(directory, 2 * _MOST_IMAGES):
        try:
            images.append(_cropped(read_rgb(path), sizes, path))
        except InputError as error:
            refused[path] = error
        if len(images) == _MOST_IMAGES:
            break
    if len(refused) > len(images):
        first = next(iter(refused.values()))
        raise InputError(
            f"{len(refused)} of {len(refused) + len(images)} images in {directory} cannot be used: {first.args[0]}",
            first.remedy or "Remove or replace them.",
        )
    return images, tuple(refused)


def activation_magnitudes(
    model: onnx.ModelProto, port: Port, images: Sequence[NDArray[np.uint8]], method: Method, percentile: float
) -> dict[str, float]:
    """The magnitude that int8's 127 should stand for, by the name of every tensor around a convolution.

    Args:
        model: float32, takes any size.
        port: its input.
        images: RGB, (H, W, 3) each.
        method: how a range is chosen from the magnitudes that were measured.
        percentile: of magnitudes, 50 to 100, for method `percentile`.

    Raises:
        Unavailable: ONNX Runtime, whose calibrators these are, is not installed.
    """
    try:
        from onnxruntime.quantization import calibrate
    except ImportError as error:
        raise Unavailable(f"int8 calibration needs onnxruntime: {error}", how_to_install("cpu")) from error

    class OneImage(calibrate.CalibrationDataReader):  # type: ignore[misc]
        """A reader per image: the calibrators stack what one reader returns, and images differ in size."""

        def __init__(self, image: NDArray[np.uint8]) -> None:
            self._frames = iter([{port.name: port.from_image(image)}])

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._frames, None)

    kinds = {
        "percentile": (calibrate.CalibrationMethod.Percentile, {"percentile": percentile, "symmetric": True}),
        "entropy": (calibrate.CalibrationMethod.Entropy, {"symmetric": True}),
        "minmax": (calibrate.CalibrationMethod.MinMax, {"symmetric": True}),
    }
    kind, extra = kinds[method]
    with tempfile.TemporaryDirectory() as directory, _quiet():
        path = Path(directory) / "model.onnx"
        onnx.save(model, path)
        augmented = str(Path(directory) / "augmented.onnx")
        calibrator = calibrate.create_calibrator(
            path, ["Conv"], augmented, kind, providers=["CPUExecutionProvider"], extra_options=extra
        )
        for image in images:
            calibrator.collect_data(OneImage(image))
        found = calibrator.compute_data()
    return {name: _magnitude(found[name]) for name in found.keys()}  # noqa: SIM118  (not a mapping)


def _magnitude(data: Any) -> float:
    return float(np.abs(np.asarray(data.range_value, np.float64)).max())


def _cropped(pixels: NDArray[np.uint8], sizes: SizeRule, path: Path) -> NDArray[np.uint8]:
    shape = sizes.within(Shape(*(min(side, _LARGEST_SIDE) for side in pixels.shape[:2])))
    if min(shape.sides) < max(sizes.padded(1), _SMALLEST_SIDE):
        raise InputError(
            f"image {path} is only {pixels.shape[1]}x{pixels.shape[0]}",
            f"Use images of at least {_SMALLEST_SIDE}x{_SMALLEST_SIDE} pixels.",
        )
    return centre_crop(pixels, shape)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's calibrators log and print their progress."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.root.setLevel(level)
