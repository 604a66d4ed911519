"""A training run, from its first iteration or the one at which it was stopped to its last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import msgspec
import torch

from toolkit.errors import CheckFailed, InputError
from toolkit.quality.data import Item, find_items
from toolkit.system.atomic import write_bytes
from toolkit.system.hardware import usable_cpus
from toolkit.system.progress import ProgressCallback, no_progress
from toolkit.system.shutdown import Shutdown, graceful_shutdown
from toolkit.training.clips import LOW, Clip, make_clips
from toolkit.training.config import TrainingConfig, checked, differences
from toolkit.training.interval import Interval
from toolkit.training.journal import Journal, ValidationLine, journal
from toolkit.training.photos import Photos, default_cache, index_photos
from toolkit.training.processes import Processes, processes
from toolkit.training.sampling import Sampler, prepared
from toolkit.training.state import STATE_FILE, TrainingProgress, TrainingState, load_state, new_state, save_state
from toolkit.training.step import Outcome, Step, on_device
from toolkit.training.trainee import Trainee
from toolkit.training.trainees import trainee_of
from toolkit.training.validation import validate

CONFIG_FILE = "config.toml"
BEST_FILE = "best.safetensors"
LAST_FILE = "last.safetensors"

Note = Callable[[str], None]
"""Called with what a user should know, one sentence."""

_MOST_WORKERS = 8

_FITTED_PATCHES = 64
"""Number of patches that initial weights are fitted to: enough for the last layer of the largest preset."""


class TrainingResult(msgspec.Struct, frozen=True):
    """How a run ended.

    Attributes:
        output: the directory of the run.
        weights: file with the averaged weights: the best by validation, or the last where nothing was validated.
        iteration: finished iterations; `finished` says whether these are all.
        psnr_y: best validation PSNR of luma in dB, if validated, and after how many iterations.
        seconds: duration since this start of the run.
        photos: fingerprint of the photographs.
        rank: of this process; process 0 has written the files.
    """

    output: Path
    weights: Path
    iteration: int
    finished: bool
    psnr_y: float | None
    best_iteration: int
    seconds: float
    photos: str = ""
    rank: int = 0


def train(
    config: TrainingConfig,
    output: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    progress: ProgressCallback = no_progress,
    note: Note = lambda _text: None,
) -> TrainingResult:
    """Train a network. The first SIGINT or SIGTERM ends the run after its current iteration, resumable.

    On the same machine, with the same number of threads and processes, a run that was stopped and resumed any number of
    times gives bit-identical weights to one that was not (except on CUDA, where some sums have no fixed order).

    Started by torchrun, every process does its part of each batch, and the first writes.

    Args:
        config: what to do.
        output: directory of the run. Written there: `config.toml`, `last.pth` (everything), `last.safetensors` and
            `best.safetensors` (averaged weights), `log.jsonl`, and `tensorboard`.
        resume: continue the run in `output`; where there is none, start one.
        cache: directory for decoded photographs; default: the user's cache directory.
        progress: called in every iteration.
        note: called with what a user should know.

    Raises:
        InputError: settings, photographs or files that cannot be used; or there is a run in `output` already.
        CheckFailed: the loss is no longer finite. The state before that is saved.
        Unavailable: CUDA was asked for, and there is no device.

    Example:
        >>> config = toolkit.TrainingConfig(data="photos", iterations=250_000)
        >>> toolkit.train(config, Path("runs/mine")).weights  # doctest: +SKIP
    """
    checked(config)
    started = time.monotonic()
    _check_output(output, resume)
    with ExitStack() as stack:
        group = stack.enter_context(processes(config.device))
        if not group.first:
            progress, note = no_progress, (lambda _text: None)
        if config.batch % group.size:
            raise InputError(f"a batch of {config.batch} cannot be shared by {group.size} processes evenly")
        torch.set_num_threads(config.threads or usable_cpus())
        photos = _photos(config, cache or default_cache(), group, progress)
        for text in photos.notes():
            note(text)
        clips = _clips(config, photos, cache or default_cache(), group, progress)
        run = Run(config, output, group, photos, clips, progress)
        run.begin(resume, note)
        lines = stack.enter_context(journal(output, run.state.progress.iteration, note)) if group.first else None
        run.to_the_end(lines, stack.enter_context(graceful_shutdown()))
    return run.result(time.monotonic() - started)


@dataclass
class Run:
    """A training run in progress."""

    config: TrainingConfig
    output: Path
    group: Processes
    photos: Photos
    clips: tuple[Clip, ...]
    progress: ProgressCallback
    trainee: Trainee = field(init=False)
    items: list[Item] = field(init=False)
    step: Step = field(init=False)
    state: TrainingState = field(init=False)

    def begin(self, resume: bool, note: Note) -> None:
        """Load the state or make a new one, and write the configuration."""
        config, device = self.config, self.group.device
        self.items = find_items([Path(config.validation)], config.network.scale) if config.validation else []
        self.trainee = trainee_of(config)
        self.step = Step(config, self.group)
        path = self.output / STATE_FILE
        if resume and path.exists():
            self.state, before = load_state(path, config, device)
            for difference in differences(before, config):
                note(f"goes on with another setting: {difference}")
            if self.state.progress.photos != self.photos.fingerprint:
                note("the photographs are not those that the run began with")
        else:
            self.state = new_state(config, device)
            if resume:
                note(f"there is no run in {self.output} yet: beginning one")
            if self.trainee.fits:
                self._fit()
        self.state.progress = msgspec.structs.replace(self.state.progress, photos=self.photos.fingerprint)
        self.group.wait()  # no process writes before all have read
        if self.group.first:
            write_bytes(self.output / CONFIG_FILE, config.to_toml().encode())

    def _fit(self) -> None:
        """Fit the initial weights to patches that no iteration uses; the same in all processes."""
        config = msgspec.structs.replace(self.config, batch=_FITTED_PATCHES)
        low, high = on_device(Sampler(self.photos, config).batch(config.iterations), self.group.device)
        self.trainee.fit(self.state.network, low, high)
        weights = [parameter.data for parameter in self.state.network.parameters()]
        self.group.average(weights)
        self.state.average.load_state_dict(self.state.network.state_dict())

    def to_the_end(self, lines: Journal | None, shutdown: Shutdown) -> None:
        """Iterate until the last iteration or a requested shutdown, and save.

        Raises:
            CheckFailed: the loss is not finite.
        """
        config, start = self.config, self.state.progress.iteration
        sampler = Sampler(self.photos, config, (self.group.rank, self.group.size), self.clips)
        interval = Interval(config, start, self.progress)
        with prepared(sampler, start, config.iterations, self._workers()) as batches:
            # Before the first iteration it shows the initial quality and finds unusable images; on resuming, it makes
            # up for a validation that the shutdown skipped.
            going = self._validated(lines, shutdown)
            while going and self.state.progress.iteration < config.iterations:
                outcome = self.step(self.state, next(batches), shutdown.requested)
                if not outcome.finite:
                    self._save()
                    raise self._diverged(outcome)
                progress = self._counted()
                if (line := interval.add(outcome, progress)) is not None and lines is not None:
                    lines.write(line)
                going = not outcome.stop and self._validated(lines, shutdown)
                if going and progress.iteration % config.checkpoint_interval == 0:
                    self._save()
        self._save()

    def result(self, seconds: float) -> TrainingResult:
        """The result of the run."""
        progress = self.state.progress
        weights = self.output / (BEST_FILE if progress.best is not None else LAST_FILE)
        finished = progress.iteration >= self.config.iterations and not self._validation_due()
        return TrainingResult(
            self.output,
            weights,
            progress.iteration,
            finished,
            progress.best,
            progress.best_iteration,
            seconds,
            progress.photos,
            self.group.rank,
        )

    def _counted(self) -> TrainingProgress:
        progress = self.state.progress
        self.state.progress = msgspec.structs.replace(progress, iteration=progress.iteration + 1)
        return self.state.progress

    def _workers(self) -> int:
        if self.config.workers or self.group.device.type != "cuda":
            return self.config.workers or 1
        return min(_MOST_WORKERS, max(1, usable_cpus() // self.group.size))

    def _validation_due(self) -> bool:
        progress = self.state.progress
        last = progress.iteration >= self.config.iterations
        scheduled = last or progress.iteration % self.config.validation_interval == 0
        return bool(self.items) and progress.validated != progress.iteration and scheduled

    def _validated(self, lines: Journal | None, shutdown: Shutdown) -> bool:
        """Validate the averaged weights if that is due, and save them if they are the best. False: stopped before its
        end."""
        if not self._validation_due():
            return True
        own = self.items[self.group.rank :: self.group.size]
        measured = validate(self.trainee.deployed(self.state.average), own, self.config.jpeg_quality, self.group.device)
        found = self.group.gather(list(takewhile(lambda _: not shutdown.requested, measured)))
        if len(found) < len(self.items):
            return False
        psnr, progress = math.fsum(found) / len(found), self.state.progress
        validated = progress.iteration
        best, when = progress.best, progress.best_iteration
        if best is None or psnr > best:
            best, when = psnr, validated
            if self.group.first:
                write_bytes(self.output / BEST_FILE, self.trainee.serialised(self.state.average))
        self.state.progress = msgspec.structs.replace(progress, validated=validated, best=best, best_iteration=when)
        if lines is not None:
            lines.write(ValidationLine(validated, psnr, best))
        return True

    def _save(self) -> None:
        if self.group.first:
            save_state(self.state, self.config, self.output / STATE_FILE)
            write_bytes(self.output / LAST_FILE, self.trainee.serialised(self.state.average))

    def _diverged(self, outcome: Outcome) -> CheckFailed:
        what = "loss" if not math.isfinite(outcome.loss) else "gradient"
        value = outcome.loss if what == "loss" else outcome.norm
        return CheckFailed(
            f"the {what} of iteration {self.state.progress.iteration + 1} is {value}: training has diverged",
            f"The state before it is saved. Lower --learning-rate (now {self.config.learning_rate}), set --clip, "
            "or look for damaged photographs; then --resume.",
        )


def _check_output(output: Path, resume: bool) -> None:
    if not resume and (output / STATE_FILE).exists():
        raise InputError(f"there is a run in {output} already", "Continue with --resume, or choose another --output.")


def _photos(config: TrainingConfig, cache: Path, group: Processes, progress: ProgressCallback) -> Photos:
    """The photographs. The first process decodes them into the cache; the others wait and find them there."""
    smallest = max(config.patches) * config.network.scale
    if not group.first:
        group.wait()
    photos = index_photos(Path(config.data), cache, smallest, usable_cpus(), progress)
    if group.first:
        group.wait()
    return photos


def _clips(
    config: TrainingConfig, photos: Photos, cache: Path, group: Processes, progress: ProgressCallback
) -> tuple[Clip, ...]:
    """The clips. The first process encodes them into the cache; the others wait and find them there."""
    if config.clips and max(config.patches) > min(LOW):
        raise InputError(f"patches of {max(config.patches)} do not fit into clips", f"At most {min(LOW)} with --clips.")
    if not group.first:
        group.wait()
    clips = make_clips(photos, config.clips, config.network.scale, config.seed, cache, usable_cpus(), progress)
    if group.first:
        group.wait()
    return clips
