"""Which kind of network a configuration trains."""

from __future__ import annotations

from toolkit.training.config import TrainingConfig
from toolkit.training.lowering.config import FinetuneConfig
from toolkit.training.lowering.trainee import GraphTrainee
from toolkit.training.trainee import ArchitectureTrainee, Trainee


def trainee_of(config: TrainingConfig) -> Trainee:
    """What a run of this configuration trains.

    Raises:
        InputError: an artifact cannot be fine-tuned.
    """
    return GraphTrainee(config) if isinstance(config, FinetuneConfig) else ArchitectureTrainee(config)
