"""The weights that ship with the toolkit: RT4KSR x2 and x3, trained by its own `train` command."""

from __future__ import annotations

from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from toolkit.errors import CheckpointError
from toolkit.system.atomic import sha256_of

if TYPE_CHECKING:
    from toolkit.network.checkpoint import Checkpoint

_FILES = {2: "rt4ksr_x2.safetensors", 3: "rt4ksr_x3.safetensors"}
"""By scale."""

BUNDLED_SCALES = tuple(_FILES)


def bundled_checkpoint(scale: int = 2) -> Checkpoint:
    """The network that commands use when no checkpoint is given; `weights/README.md` is its model card.

    Raises:
        CheckpointError: there are no weights for this scale.

    Example:
        >>> toolkit.bundled_checkpoint(3).file
        'rt4ksr_x3.safetensors'
    """
    from toolkit.network.checkpoint import load_checkpoint

    with as_file(_weights(scale)) as path:
        return load_checkpoint(path)


def bundled_sha256(scale: int) -> str:
    """The SHA-256 of these weights, equal to `Checkpoint.sha256`, without loading torch.

    Raises:
        CheckpointError: there are no weights for this scale.
    """
    return sha256_of(_weights(scale).read_bytes())


def _weights(scale: int) -> Traversable:
    if scale not in _FILES:
        raise CheckpointError(
            f"no weights for x{scale} ship with the toolkit, only for {' and '.join(f'x{known}' for known in _FILES)}",
            "Give a checkpoint, or --preset for a network with random weights.",
        )
    return files("toolkit.network") / "weights" / _FILES[scale]
