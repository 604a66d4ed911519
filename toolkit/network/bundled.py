"""The networks that ship with the toolkit, trained by its own `train` command."""

from __future__ import annotations

from importlib.resources import as_file
from typing import TYPE_CHECKING

from toolkit.network.bundled_files import Purpose, find_bundled

if TYPE_CHECKING:
    from toolkit.network.checkpoint import Checkpoint


def bundled_checkpoint(scale: int = 2, purpose: Purpose = "clean") -> Checkpoint:
    """The network that commands use when no checkpoint is given.

    Args:
        scale: 2 or 3.
        purpose: `clean`, or `video` for frames that a codec has left.

    Raises:
        CheckpointError: there are no such weights.

    Example:
        >>> toolkit.bundled_checkpoint(3).file
        'rt4ksr_x3.safetensors'
    """
    from toolkit.network.checkpoint import load_checkpoint

    with as_file(find_bundled(scale, purpose).resource) as path:
        return load_checkpoint(path)
