"""What a training run trains: a network built from its configuration, or the graph of an artifact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property

from torch import Tensor, nn

from toolkit.errors import CheckpointError
from toolkit.network.architectures.registry import architecture_of
from toolkit.network.building import untrained_network
from toolkit.network.checkpoint import Checkpoint, load_checkpoint, serialised_weights
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
            # A field in which they differ may have a tensor that marks it, and no other.
            network.load_state_dict(self._initial.network.state_dict(), strict=not self.fits)
        train_through_merge(network, config.merge)
        return network

    @property
    def fits(self) -> bool:
        if self._config.init:
            return self._initial.config != self._config.network
        return self._config.start == "fitted"

    def fit(self, network: NetworkModule, low: Tensor, high: Tensor) -> None:
        architecture = architecture_of(self._config.network)
        (architecture.refit if self._config.init else architecture.fitted_start)(network, low, high)

    def teacher(self) -> nn.Module | None:
        config = self._config
        if not config.teacher or not config.teacher_weight:
            return None
        return fuse(load_checkpoint(config.teacher, scale=config.network.scale).network)

    def deployed(self, network: NetworkModule) -> NetworkModule:
        return fuse(network)

    def serialised(self, network: NetworkModule) -> bytes:
        return serialised_weights(network)

    @cached_property
    def _initial(self) -> Checkpoint:
        """The weights to start from."""
        config = self._config
        checkpoint = load_checkpoint(config.init, scale=config.network.scale)
        same = {name: getattr(config.network, name) for name in architecture_of(config.network).refitted}
        if checkpoint.config.architecture != config.network.architecture or config.network != replace(
            checkpoint.config, **same
        ):
            raise CheckpointError(
                f"{config.init} holds {checkpoint.config}, and {config.network} is to be trained",
                "Choose its --preset and --scale.",
            )
        return checkpoint
