"""Subjects as functions of float32 images, for comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import InputError
from toolkit.port import PLANAR, rgb_port
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape

Run = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Maps float32 (1, 3, H, W) in 0..1 to the result (1, 3, scale*H, scale*W): floating-point, or uint8 if the subject
returns uint8."""


def image_function(subject: Subject, threads: int | None = None) -> Run:
    """Load a subject as a function of images; `threads` overrides the subject's own number.

    Raises:
        Unavailable: its runtime is not available.
    """
    session = (subject if threads is None else replace(subject, threads=threads)).load()
    given, returned = session.contract.input, session.contract.output
    bound: list[Shape] = []

    def run(image: NDArray[np.float32]) -> NDArray[Any]:
        shape = Shape(*image.shape[2:])
        if bound != [shape]:
            session.bind(shape)
            bound[:] = [shape]
        result = session.run(given.from_image(PLANAR.values(image)))
        if returned.dtype == "uint8":
            return rgb_port("uint8").from_image(returned.to_image(result))
        # Keep the type of the result: float64 must not be rounded to float32.
        return PLANAR.from_image(returned.to_image(result, result.dtype), floating=result.dtype)

    return run


def limited(run: Run) -> Run:
    """The same function with floating-point results limited to 0..1."""
    return lambda image: np.clip(run(image), 0, 1)


def same_scale(first: Subject, second: Subject) -> None:
    """Make sure that two subjects can be compared.

    Raises:
        InputError: their scales differ.
    """
    if first.scale != second.scale:
        raise InputError(
            f"{first.label} upscales x{first.scale}, and {second.label} x{second.scale}",
            "Give two networks of the same scale.",
        )


def as_grey(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Float 0..1 as uint8; NaN becomes 0."""
    levels: NDArray[np.uint8] = np.rint(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    return levels
