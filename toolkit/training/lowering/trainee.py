"""Training of an artifact's graph with the roundings of a lower precision; its fp32 form is the teacher."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from toolkit.artifact import Artifact
from toolkit.errors import CheckpointError, InputError
from toolkit.graph.precision.base import Rewritten
from toolkit.graph.precision.options import ConvertOptions
from toolkit.graph.precision.registry import find_target, split_options
from toolkit.graph.reading import read_model
from toolkit.network.module import NetworkModule
from toolkit.network.reading import config_key
from toolkit.training.lowering.config import FinetuneConfig, GraphConfiguration
from toolkit.training.lowering.graph_network import GraphNetwork
from toolkit.training.lowering.lowering import Lowering, lowering_for
from toolkit.training.trainee import Trainee


class GraphTrainee(Trainee):
    """The graph of an fp32 artifact, to be lowered to `config.target`.

    Raises:
        InputError: the artifact is not the one that the configuration was made for, or an option does not fit the
            precision.
        ArtifactError: it cannot be read.
    """

    def __init__(self, config: FinetuneConfig) -> None:
        self.artifact = Artifact.read(config.artifact)
        if GraphConfiguration.of(self.artifact.manifest) != config.network:
            raise InputError(
                f"{config.artifact} is not the artifact that this run was made for", "Choose another --output."
            )
        self.options = finetuning_options(config)
        self._config = config

    @cached_property
    def lowering(self) -> Lowering:
        """How the graph is lowered."""
        artifact, target = self.artifact, find_target(self._config.target)
        return lowering_for(target, read_model(artifact.path), artifact.manifest, self.options)

    def network(self) -> GraphNetwork:
        self._exact()  # what it refuses is said before anything is measured
        network = GraphNetwork(self.lowering.form, self.artifact.manifest, self.lowering.convolutions())
        network.begin_with(self.lowering.start())
        return network

    @property
    def fits(self) -> bool:
        return False

    def fit(self, network: NetworkModule, low: Tensor, high: Tensor) -> None:
        """The weights of the artifact are the start."""

    def teacher(self) -> nn.Module | None:
        return self._exact() if self._config.teacher_weight else None

    def deployed(self, network: NetworkModule) -> NetworkModule:
        return network

    def serialised(self, network: NetworkModule) -> bytes:
        from safetensors.torch import save

        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        # One entry: safetensors writes several in random order, and the same weights are to give the same bytes.
        config = {**self._config.network.fields(), "precision": self._config.target}
        return save(dict(sorted(tensors.items())), {config_key("graph"): json.dumps(config, sort_keys=True)})

    def trained(self, weights: Path) -> Rewritten:
        """The graph in its precision, with weights that a run wrote.

        Raises:
            CheckpointError: they are of another graph.
        """
        from safetensors.torch import load_file

        network = self.network()
        try:
            network.load_state_dict(load_file(weights))
        except (RuntimeError, OSError) as error:
            raise CheckpointError(f"{weights} does not hold the weights of this graph", "Train again.") from error
        return self.lowering.rewritten(network, self._config.range_margin)

    def _exact(self) -> GraphNetwork:
        return GraphNetwork(self.lowering.model, self.artifact.manifest)


def finetuning_options(config: FinetuneConfig) -> ConvertOptions:
    """How the artifact is converted after training. Ranges begin with those of the photographs.

    Raises:
        InputError: an option does not apply to the precision.
    """
    integers = not find_target(config.target).floating
    options = ConvertOptions(
        keep_fp32=config.keep_fp32,
        exclude=config.exclude,
        calibration=Path(config.data) if integers else None,
    )
    return split_options(options, [config.target])[config.target]
