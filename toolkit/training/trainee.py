"""What a training run trains: a network built from its configuration, or the graph of an artifact."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from toolkit.errors import CheckpointError
from toolkit.network.architectures.registry import architecture_of
from toolkit.network.building import untrained_network
from toolkit.network.checkpoint import load_checkpoint, serialised_weights
from toolkit.network.fusion import fuse, train_through_merge
from toolkit.network.module import NetworkModule
from toolkit.training.config import TrainingConfig


class Trainee(ABC):
    """How a run makes, teaches, validates and writes its network."""

    @abstractmethod
    def network(self) -> NetworkModule:
        """The network before the first iteration, on the CPU.

        Raises:
            CheckpointError: the weights to start from cannot be read, or are of another network.
        """

    @abstractmethod
    def fit(self, network: NetworkModule, low: Tensor, high: Tensor) -> None:
        """Fit initial weights to patches, in place; see `Sampler` for what they are."""

    @property
    @abstractmethod
    def fits(self) -> bool:
        """Whether `fit` does anything."""

    @abstractmethod
    def teacher(self) -> nn.Module | None:
        """A network on the CPU whose output the trained one also learns to reproduce, if there is one.

        Raises:
            CheckpointError: it cannot be read, or has another scale.
        """

    @abstractmethod
    def deployed(self, network: NetworkModule) -> NetworkModule:
        """The network in the form in which it is used, which is what is validated."""

    @abstractmethod
    def serialised(self, network: NetworkModule) -> bytes:
        """The weights as a safetensors file."""


class ArchitectureTrainee(Trainee):
    """A network of an architecture that the toolkit knows, in training form."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config

    def network(self) -> NetworkModule:
        config = self._config
        network = untrained_network(config.network, config.seed)
        if config.init:
            network.load_state_dict(self._initial_weights())
        train_through_merge(network, config.merge)
        return network

    @property
    def fits(self) -> bool:
        return self._config.start == "fitted" and not self._config.init

    def fit(self, network: NetworkModule, low: Tensor, high: Tensor) -> None:
        architecture_of(self._config.network).fitted_start(network, low, high)

    def teacher(self) -> nn.Module | None:
        config = self._config
        if not config.teacher or not config.teacher_weight:
            return None
        return fuse(load_checkpoint(config.teacher, scale=config.network.scale).network)

    def deployed(self, network: NetworkModule) -> NetworkModule:
        return fuse(network)

    def serialised(self, network: NetworkModule) -> bytes:
        return serialised_weights(network)

    def _initial_weights(self) -> dict[str, Tensor]:
        config = self._config
        checkpoint = load_checkpoint(config.init, scale=config.network.scale)
        if checkpoint.config != config.network:
            raise CheckpointError(
                f"{config.init} holds {checkpoint.config}, and {config.network} is to be trained",
                "Choose its --preset and --scale.",
            )
        return checkpoint.network.state_dict()
