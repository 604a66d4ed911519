"""Means over the last iterations, for the log and the progress display."""

from __future__ import annotations

import time

from toolkit.system.progress import Progress, ProgressCallback
from toolkit.training.config import TrainingConfig
from toolkit.training.journal import TrainingLine
from toolkit.training.schedule import learning_rate
from toolkit.training.state import TrainingProgress
from toolkit.training.step import Outcome


class Interval:
    """Averages `config.log_interval` iterations at a time, and estimates the time left from all since this start."""

    def __init__(self, config: TrainingConfig, iteration: int, progress: ProgressCallback) -> None:
        self._config, self._progress = config, progress
        self._first = iteration
        self._started = self._since = time.monotonic()
        self._outcomes: list[Outcome] = []

    def add(self, outcome: Outcome, reached: TrainingProgress) -> TrainingLine | None:
        """Count a finished iteration. Returns a line for the log if it is the last of its interval."""
        self._outcomes.append(outcome)
        now, iteration, config = time.monotonic(), reached.iteration, self._config
        loss = sum(one.loss for one in self._outcomes) / len(self._outcomes)
        best = "" if reached.best is None else f", best {reached.best:.3f} dB"
        left = (now - self._started) / (iteration - self._first) * (config.iterations - iteration)
        activity = f"{iteration}/{config.iterations}, loss {loss:.5f}{best}"
        self._progress(Progress(activity, iteration / config.iterations, left))
        if iteration % config.log_interval and iteration < config.iterations:
            return None
        norm = sum(one.norm for one in self._outcomes) / len(self._outcomes)
        rate = len(self._outcomes) / (now - self._since)
        self._outcomes, self._since = [], now
        return TrainingLine(iteration, loss, norm, learning_rate(config, iteration - 1), rate)
