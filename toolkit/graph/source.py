"""From an artifact back to the checkpoint that it was exported from."""

from __future__ import annotations

from toolkit.artifact import Artifact
from toolkit.network.checkpoint import Checkpoint, load_checkpoint, serialised_weights
from toolkit.system.atomic import sha256_of


def is_made_from(artifact: Artifact, checkpoint: Checkpoint) -> bool:
    """Whether an artifact holds exactly this checkpoint's network, including the decision about optional branches."""
    return artifact.manifest.source.weights_sha256 == sha256_of(serialised_weights(checkpoint.network))


def source_checkpoint(artifact: Artifact) -> Checkpoint:
    """The checkpoint that an artifact was exported from, read from the copy of its weights beside it.

    Branches that were left out of the export are not in that copy, and all that are in it take part.

    Raises:
        ArtifactError: the weights are missing or were edited.
    """
    return load_checkpoint(artifact.read_weights(), high_frequency="present", scale=artifact.manifest.network.scale)
