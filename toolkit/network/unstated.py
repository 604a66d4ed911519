"""Hyper-parameters that no tensor shows: from the file's configuration, from the user, or by measurement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.images.resizing import resize_bicubic
from toolkit.network.architectures.architecture import Found
from toolkit.network.architectures.configuration import Configuration, configured, from_text
from toolkit.network.architectures.registry import AnyArchitecture
from toolkit.network.module import NetworkModule
from toolkit.network.reading import StoredConfiguration, config_key
from toolkit.system.documents import from_json
from toolkit.workloads import Shape

_SIDE = 32
"""Height and width of the test picture, in pixels."""

_ALIKE = 16.0
"""Decibels from the enlarged test picture. A trained network that is fed as it was trained is above 20; one that is
not, or that was never trained, is below 12."""

_TIE = 1.0
"""Decibels by which another configuration must be better than the usual one."""


def with_stored(
    architecture: AnyArchitecture, found: Found[Any], stored: StoredConfiguration | None, where: str
) -> Found[Any]:
    """Take from the configuration in the file what tensors do not determine. The rest of it must agree with them.

    Raises:
        CheckpointError: it cannot be read, or contradicts the tensors.
    """
    if stored is None or stored.architecture != architecture.name:
        return found
    key = config_key(architecture.name)
    try:
        base = architecture.presets[architecture.default]
        said: Configuration = configured(base, from_json(stored.json, dict[str, Any]))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{where}: its {key} cannot be read: {error}") from error
    seen = replace(found.config, **{name: getattr(said, name) for name in architecture.not_in_tensors})
    if said != seen:
        by_tensors = asdict(seen)
        name, value = next((name, value) for name, value in asdict(said).items() if by_tensors[name] != value)
        raise CheckpointError(
            f"{where} is inconsistent: {name} is {value} in its {key}, and {by_tensors[name]} by its tensors"
        )
    return replace(found, config=said, reason="as the file says")


def with_assumed(
    architecture: AnyArchitecture, found: Found[Any], assumed: Mapping[str, str], where: str
) -> Found[Any]:
    """Take what the user says of the fields that no tensor shows.

    Args:
        architecture: of the weights.
        found: them.
        assumed: values by field, as they are typed.
        where: the file, for messages.

    Raises:
        CheckpointError: tensors determine a field, there is none of that name, or it cannot have that value.
    """
    if not assumed:
        return found
    known = sorted(architecture.not_in_tensors)
    if other := sorted(assumed.keys() - architecture.not_in_tensors):
        raise CheckpointError(
            f"{where}: {other[0]} of a {architecture.title} network cannot be assumed",
            f"Its tensors do not determine {', '.join(known)}." if known else "Its tensors determine everything.",
        )
    try:
        config = configured(found.config, from_text(found.config, assumed))
    except ValueError as error:
        raise CheckpointError(f"{where}: {error}") from error
    return replace(found, config=config, reason="as assumed")


def measured(architecture: AnyArchitecture, found: Found[Any]) -> Found[Any]:
    """Choose the configuration with which the weights upscale a test picture best, where nobody says which it is.

    A super-resolution network returns its input, larger; fed with another value range, or with another activation, it
    returns something else. So the output is compared with the picture enlarged by bicubic interpolation. Weights that
    resemble it in no configuration were not trained for it, and get the usual one.

    Args:
        architecture: of the weights.
        found: them, in float32, finite.
    """
    candidates: tuple[Configuration, ...] = () if found.reason else architecture.candidates(found.config)
    if len(candidates) < 2:
        return found
    picture = test_picture()
    alike = [_likeness(architecture.build(config), found.tensors, picture) for config in candidates]
    best = max(alike)
    if best < _ALIKE:
        return replace(found, config=candidates[0], reason="usual: the weights upscale a test picture in no way")
    chosen = 0 if best - alike[0] < _TIE else alike.index(best)
    others = max(value for index, value in enumerate(alike) if index != chosen)
    reason = f"measured: {alike[chosen]:.1f} dB from the enlarged picture, otherwise at most {others:.1f} dB"
    return replace(found, config=candidates[chosen], reason=reason)


def test_picture() -> NDArray[np.uint8]:
    """A picture (H, W, 3) with smooth colours, an edge, and a disc, so that a wrong range or activation shows."""
    rows, columns = np.mgrid[:_SIDE, :_SIDE] / _SIDE
    smooth = [0.5 + 0.35 * np.sin(3 * rows + phase) * np.cos(4 * columns - phase) for phase in (0.0, 0.7, 1.9)]
    picture = np.stack(smooth, axis=-1)
    picture[rows + columns > 1.4] *= 0.6
    picture[np.hypot(rows - 0.35, columns - 0.4) < 0.2] = (0.85, 0.3, 0.2)
    return np.asarray(np.rint(255 * picture), np.uint8)


def _likeness(network: NetworkModule, tensors: Mapping[str, Tensor], picture: NDArray[np.uint8]) -> float:
    """PSNR in dB between the network's output and the picture enlarged by bicubic interpolation; -inf if not finite."""
    network.load_state_dict(dict(tensors))
    scale = network.config.scale
    enlarged = resize_bicubic(picture, Shape(_SIDE * scale, _SIDE * scale))
    low, wanted = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255 for pixels in (picture, enlarged))
    with torch.inference_mode():
        error = float((network.eval()(low) - wanted).double().square().mean())
    return -10 * math.log10(max(error, 1e-12)) if math.isfinite(error) else -math.inf
