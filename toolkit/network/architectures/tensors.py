"""Reading hyper-parameters from named tensors, and comparing all of them with what a configuration expects."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.network.module import NetworkModule
from toolkit.quoting import first_few

SHOWN = 6
"""How many names a message lists."""


def matched(
    given: Mapping[str, Tensor],
    build: Callable[[], NetworkModule],
    stored_name: Callable[[str], str],
    refused: Callable[[str], CheckpointError],
    optional: Iterable[str] = (),
) -> dict[str, Tensor]:
    """Tensors by the names of `NetworkModule.state_dict()`, when they are exactly those of a network.

    Args:
        given: one set of weights, by the names of the file.
        build: makes the network. It is called on the meta device, so nothing is allocated.
        stored_name: see `Found.stored_name`.
        refused: makes the error from a list of every difference.
        optional: names that may be there in addition, and are ignored.

    Raises:
        CheckpointError: tensors are missing, unexpected, or have other shapes.
    """
    with torch.device("meta"):
        expected = {stored_name(name): (name, tensor.shape) for name, tensor in build().state_dict().items()}
    differences = []
    if missing := expected.keys() - given.keys():
        differences.append(f"missing {listed(missing)}")
    if unexpected := given.keys() - expected.keys() - set(optional):
        differences.append(f"unexpected {listed(unexpected)}")
    differences += [
        f"{name} has shape {tuple(given[name].shape)} instead of {tuple(shape)}"
        for name, (_, shape) in expected.items()
        if name in given and given[name].shape != shape
    ][:SHOWN]
    if differences:
        raise refused("; ".join(differences))
    return {name: given[stored] for stored, (name, _) in expected.items()}


def size(tensor: Tensor, axis: int) -> int:
    """Size of an axis, at least 1; 1 where the tensor has fewer axes. Whether the shape is sound, `matched` finds."""
    return max(tensor.shape[axis], 1) if tensor.ndim > axis else 1


def count_numbered(tensors: Iterable[str], prefix: str, where: str, first: int = 0) -> int:
    """How many modules `PREFIX0.`, `PREFIX1.`, ... there are.

    Raises:
        CheckpointError: their numbers do not start at `first` or have gaps.
    """
    pattern = re.compile(rf"{re.escape(prefix)}(\d{{1,9}})\.")
    numbers = {int(match[1]) for name in tensors if (match := pattern.match(name))}
    if gaps := set(range(first, first + len(numbers))) - numbers:
        kind = prefix.rstrip("._")
        raise CheckpointError(
            f"{where}: {kind} blocks are not numbered from {first} without gaps; {min(gaps)} is missing"
        )
    return len(numbers)


def scale_of(tensors: Mapping[str, Tensor], name: str, shuffle: int, where: str) -> int:
    """The factor by which a last convolution of 3·(shuffle·scale)² channels upscales.

    Raises:
        CheckpointError: it is missing, or has another number of channels.
    """
    upsample = tensors.get(name)
    if upsample is None:
        raise CheckpointError(f"{where}: {name} is missing")
    scale = math.isqrt(upsample.shape[0] // 3) // shuffle if upsample.ndim else 0
    if scale < 1 or 3 * (shuffle * scale) ** 2 != upsample.shape[0]:
        x2, x3 = (3 * (shuffle * factor) ** 2 for factor in (2, 3))
        raise CheckpointError(
            f"{where}: {name} has shape {tuple(upsample.shape)}, which fits no scale "
            f"(3·({shuffle}·scale)² channels, for instance {x2} for x2, {x3} for x3)"
        )
    return scale


def prefixes_with(tensors: Iterable[str], landmark: str, *others: str) -> list[str]:
    """What stands before the tensor `landmark`, whole or after a dot, at every place where all others are too.

    Args:
        tensors: names of tensors.
        landmark: a name without prefix.
        others: how further names without prefix begin.
    """
    names = list(tensors)
    found = [name.removesuffix(landmark) for name in names if name == landmark or name.endswith(f".{landmark}")]
    return [
        prefix for prefix in found if all(any(name.startswith(prefix + other) for name in names) for other in others)
    ]


def listed(names: Iterable[str]) -> str:
    """The first few names in alphabetical order, and how many more there are."""
    return first_few(sorted(names), SHOWN)
