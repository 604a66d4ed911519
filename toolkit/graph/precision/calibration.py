"""How large activations get: measured on images, by ONNX Runtime's calibrators."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.errors import InputError, Unavailable
from toolkit.images import centre_crop, find_images, read_rgb
from toolkit.port import Port
from toolkit.sizes import EVEN, SizeRule
from toolkit.workloads import Shape

Method = Literal["percentile", "entropy", "minmax"]

PERCENTILE = 99.99
_MOST_IMAGES = 32
_LARGEST_SIDE = 256


def calibration_images(directory: Path | None = None, sizes: SizeRule = EVEN) -> list[NDArray[np.uint8]]:
    """RGB images (H, W, 3), at most 32 and at most 256x256 (centre crops).

    Args:
        directory: where to look, recursively; default: those that ship with the toolkit.
        sizes: that the network takes; images are cropped to such a size.

    Raises:
        InputError: no directory, or no readable image in it.
    """
    if directory is None:
        with as_file(files("toolkit.graph.precision") / "images") as shipped:
            return calibration_images(shipped, sizes)
    return [_cropped(read_rgb(path), sizes, path) for path in find_images(directory, _MOST_IMAGES)]


def activation_magnitudes(
    model: onnx.ModelProto, port: Port, images: Sequence[NDArray[np.uint8]], method: Method, percentile: float
) -> dict[str, float]:
    """The magnitude that int8's 127 should stand for, for every tensor around a convolution.

    Raises:
        Unavailable: ONNX Runtime, whose calibrators these are, is not installed.
    """
    try:
        from onnxruntime.quantization import calibrate
    except ImportError as error:
        raise Unavailable(
            f"int8 calibration needs onnxruntime: {error}", 'pip install "rt4ksr-toolkit[cpu]"'
        ) from error

    class OneImage(calibrate.CalibrationDataReader):  # type: ignore[misc]
        """The calibrators stack what one reader gives, and cannot stack images of several sizes."""

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
    if min(shape.sides) < sizes.padded(1):
        raise InputError(f"image {path} is only {pixels.shape[1]}x{pixels.shape[0]}", "Use larger images.")
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
