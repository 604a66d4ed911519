"""The weights that ship with the toolkit: x2 and x3, trained by its own `train` command."""

from __future__ import annotations

from importlib.resources import as_file, files

from toolkit.errors import CheckpointError
from toolkit.network.checkpoint import Checkpoint, load_checkpoint
from toolkit.network.config import RELEASED_SCALES


def bundled_checkpoint(scale: int = 2) -> Checkpoint:
    """The network that commands use where no checkpoint is given; `weights/README.md` is its model card.

    Raises:
        CheckpointError: there are no weights for this scale.
    """
    if scale not in RELEASED_SCALES:
        raise CheckpointError(
            f"no weights for x{scale} ship with the toolkit, only for x2 and x3",
            "Give a checkpoint, or --preset for a network with random weights.",
        )
    with as_file(files("toolkit.network") / "weights" / f"rt4ksr_x{scale}.safetensors") as path:
        return load_checkpoint(path)
