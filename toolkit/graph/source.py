"""Back from an artifact to the checkpoint it was made from."""

from __future__ import annotations

from toolkit.artifact import Artifact
from toolkit.network.checkpoint import Checkpoint, HighFrequency, load_checkpoint, serialised_weights
from toolkit.system.atomic import sha256_of


def is_made_from(artifact: Artifact, checkpoint: Checkpoint) -> bool:
    """Whether an artifact holds exactly this checkpoint's network, decisions about its branches included."""
    return artifact.manifest.source.weights_sha256 == sha256_of(serialised_weights(checkpoint.network))


def source_checkpoint(artifact: Artifact) -> Checkpoint:
    """The checkpoint behind an artifact, from the copy of its weights beside it, with the same decisions.

    Raises:
        ArtifactError: the weights are missing or were edited.
    """
    facts = artifact.manifest.network
    decision: HighFrequency = "on" if facts.high_frequency else "off"
    return load_checkpoint(artifact.read_weights(), high_frequency=decision, scale=facts.scale)
