"""From an artifact back to the network that it was made from."""

from __future__ import annotations

from toolkit.artifact import Artifact
from toolkit.graph.analysis.float64 import float64_function, in_float64
from toolkit.graph.analysis.numerics import Truth, exact_network
from toolkit.graph.any_size import sizeless
from toolkit.graph.passes.limit_output import without_limit
from toolkit.graph.reading import read_model
from toolkit.network.checkpoint import Checkpoint, load_checkpoint, serialised_weights
from toolkit.network.module import numpy_function
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


def exact_source(artifact: Artifact) -> Truth:
    """The network of an fp32 artifact in float64, which every lowered form of it is compared with.

    For a network that PyTorch can build, that is PyTorch's, from the source weights; otherwise the artifact's own graph
    with its constants widened exactly. It takes images of the sizes that the graph takes, and does not limit its output
    to 0..1.

    Raises:
        ArtifactError: the weights are missing or were edited.
    """
    if artifact.weights_path is not None:
        return numpy_function(source_checkpoint(artifact).network, "float64")
    manifest = artifact.manifest
    function = float64_function(in_float64(without_limit(sizeless(read_model(artifact.path), manifest))))
    return exact_network(function, manifest.input, manifest.output)
