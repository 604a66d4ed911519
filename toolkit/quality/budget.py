"""How much of the network's own gain over bicubic a precision may spend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import msgspec

from toolkit.artifact import Check, Precision
from toolkit.documents import MalformedDocument, read_toml
from toolkit.errors import InputError

DEFAULT_FILE = Path("validation/budgets.toml")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one precision may spend.

    Attributes:
        mean: share of the mean gain over all images, in PSNR-Y.
        worst_image: the same loss for a single image, as a share of the mean gain.
        worst_patch: root mean square difference from fp32 in the worst 64x64 patch, in grey levels of luma.
    """

    mean: float
    worst_image: float
    worst_patch: float

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} = {value} is not a positive number")

    def used(self, spent: Spent) -> float:
        """The largest share of a limit that is spent; more than 1 is too much, and so is NaN."""
        shares = (
            spent.mean / self.mean,
            spent.worst_image / self.worst_image,
            spent.worst_patch / self.worst_patch,
        )
        return math.inf if any(math.isnan(share) for share in shares) else max(shares)


@dataclass(frozen=True)
class Spent:
    """What a precision costs; the fields mean what those of `Limits` do."""

    mean: float
    worst_image: float
    worst_patch: float


BUDGETS: Mapping[Precision, Limits] = MappingProxyType(
    {
        "fp32": Limits(mean=0.001, worst_image=0.003, worst_patch=0.3),
        "fp16": Limits(mean=0.01, worst_image=0.03, worst_patch=0.6),
        "bf16": Limits(mean=0.05, worst_image=0.15, worst_patch=2.0),
        "int8": Limits(mean=0.10, worst_image=0.30, worst_patch=4.0),
    }
)
"""Where no file says otherwise."""


def read_budgets(path: Path | None = None) -> Mapping[Precision, Limits]:
    """Limits from a TOML file with a table for each precision it speaks of.

    Args:
        path: default: `validation/budgets.toml` where that is there, else `BUDGETS`.

    Raises:
        InputError: it cannot be read, or names a precision or limit there is none of.
    """
    if path is None:
        if not DEFAULT_FILE.is_file():
            return BUDGETS
        path = DEFAULT_FILE
    try:
        read = msgspec.convert(read_toml(path), dict[Precision, Limits])
    except (OSError, MalformedDocument, msgspec.ValidationError) as error:
        raise InputError(
            f"{path} holds no budgets: {error}",
            f"It needs a table for {', '.join(get_args(Precision))}, each with mean, worst_image and worst_patch.",
        ) from error
    return {**BUDGETS, **read}


def held_against(spent: Spent, limits: Limits) -> tuple[Check, ...]:
    """Spent against allowed."""
    return (
        Check.of("share of the mean gain spent", spent.mean, limits.mean),
        Check.of("worst image, share of the mean gain", spent.worst_image, limits.worst_image),
        Check.of("worst patch, grey levels from fp32", spent.worst_patch, limits.worst_patch),
    )
