"""Which kind of network a configuration trains."""

from __future__ import annotations

from functools import lru_cache

from toolkit.training.config import TrainingConfig
from toolkit.training.lowering.config import FinetuneConfig
from toolkit.training.lowering.trainee import GraphTrainee
from toolkit.training.trainee import ArchitectureTrainee, Trainee


@lru_cache(maxsize=1)
def trainee_of(config: TrainingConfig) -> Trainee:
    """What a run of this configuration trains: one object for all parts of the run, since what fine-tuning measures
    before it begins takes up to a minute.

    Raises:
        InputError: an artifact cannot be fine-tuned.
    """
    return GraphTrainee(config) if isinstance(config, FinetuneConfig) else ArchitectureTrainee(config)
