"""Quality budgets: how much of the network's gain over bicubic a precision may lose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import msgspec
import numpy as np

from toolkit.checks import Limits, Spent
from toolkit.errors import InputError
from toolkit.graph.precision.registry import PRECISIONS
from toolkit.precisions import Precision
from toolkit.system.documents import MalformedDocument, read_toml

DEFAULT_FILE = Path("validation/budgets.toml")


BUDGETS: Mapping[Precision, Limits] = MappingProxyType({found.name: found.budget for found in PRECISIONS})
"""Default limits."""


def read_budgets(path: Path | None = None) -> Mapping[Precision, Limits]:
    """Read limits from a TOML file with one table per precision; precisions without a table have the default limits.

    Args:
        path: None: `validation/budgets.toml` if that exists, otherwise `BUDGETS`.

    Raises:
        InputError: the file cannot be read, or contains an unknown precision or limit.
    """
    if path is None:
        if not DEFAULT_FILE.is_file():
            return BUDGETS
        path = DEFAULT_FILE
    try:
        read = msgspec.convert(read_toml(path), dict[Precision, Limits])
    except (OSError, MalformedDocument, msgspec.ValidationError) as error:
        raise InputError(
            f"{path} is not a budget file: {error}",
            f"It needs tables named {', '.join(get_args(Precision))}, each with mean, worst_image and worst_patch.",
        ) from error
    return {**BUDGETS, **read}


def spent_of(exact: Sequence[float], scores: Sequence[float], gain: float, patches: Sequence[float]) -> Spent:
    """What a network loses compared with its fp32 form.

    Args:
        exact: PSNR-Y of fp32 on each image, in dB.
        scores: PSNR-Y of the network on the same images, in dB.
        gain: of fp32 over bicubic in mean PSNR-Y on these images, in dB; must be positive.
        patches: for each image, the difference from fp32 in the worst patch, in grey levels.
    """
    losses = np.subtract(exact, scores) / gain
    return Spent(float(losses.mean()), float(losses.max()), max(patches))
