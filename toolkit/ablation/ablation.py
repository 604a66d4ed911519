"""`toolkit ablate`: trains every step of the design in the same way, and compares their quality and frame times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from toolkit.ablation.report import AblationReport, FrameTime, StepReport
from toolkit.artifact import Artifact
from toolkit.errors import CheckFailed, InputError
from toolkit.graph.export import ExportOptions, export
from toolkit.network.architectures.configuration import Configuration
from toolkit.network.architectures.registry import DEFAULT, PRESETS
from toolkit.network.checkpoint import load_checkpoint, untrained_checkpoint
from toolkit.network.complexity import complexity
from toolkit.profiling.measuring.environment import environment
from toolkit.profiling.measuring.messages import Open
from toolkit.profiling.measuring.schedule import Pace, measure
from toolkit.profiling.measuring.statistics import summarise
from toolkit.quality.evaluation import evaluate
from toolkit.quality.report import NetworkReport
from toolkit.runtimes.options import SessionOptions
from toolkit.runtimes.subject import Subject
from toolkit.system.atomic import write_bytes
from toolkit.system.progress import ProgressCallback, no_progress, within
from toolkit.training.config import TrainingConfig
from toolkit.training.loop import train
from toolkit.workloads import WORKLOADS, Workload

T = TypeVar("T")

_QUALITY, _TIMES = "quality.json", "times.json"
_TRAINING_SHARE = 0.8
"""Share of the progress that is training; the rest is measuring frame times."""


@dataclass(frozen=True)
class AblateOptions:
    """Options of an ablation.

    Attributes:
        presets: names of the networks, in the order of the table.
        images: image sets to measure quality on after training.
        runtimes: runtimes to measure frame times on.
        duration: seconds of frames per network, workload and runtime.
        threads: CPU threads for training and for each measurement; 0: all CPUs available to this process.
        cache: directory for decoded training images; None: the user's cache directory.
    """

    presets: tuple[str, ...]
    images: tuple[Path, ...]
    runtimes: tuple[str, ...] = ("ort-cpu", "openvino")
    duration: float = 3.0
    threads: int = 0
    cache: Path | None = None


def ablate(
    config: TrainingConfig,
    directory: Path,
    options: AblateOptions,
    progress: ProgressCallback = no_progress,
) -> AblationReport:
    """Train, export, evaluate and profile each preset.

    Results that are in `directory` already are used again, so an interrupted ablation continues where it stopped. Frame
    times are measured at the 4K workloads of the scales that the paper has, x2 and x3, with the networks taking turns.
    For the scale that is not trained the networks have random weights, which does not change their frame times.

    Args:
        config: of all trainings. Of its network only the scale is used; the rest comes from the preset.
        directory: of the ablation, with the training run, the artifact and the results of each preset.
        options: see `AblateOptions`.
        progress: called as networks are trained and measured.

    Raises:
        InputError: unknown presets, or settings or images that cannot be used.
        CheckFailed: a training diverged or was interrupted.
    """
    if unknown := [name for name in options.presets if name not in PRESETS]:
        raise InputError(f"there is no preset {unknown[0]!r}", f"Choose from {', '.join(PRESETS)}.")
    if not options.presets or not options.images:
        raise InputError("an ablation needs at least one preset, and images to measure quality on")
    scale = config.network.scale
    artifacts, qualities = {}, {}
    for index, name in enumerate(options.presets):
        start = _TRAINING_SHARE * index / len(options.presets)
        step = _Step(name, scale, directory / name, config, options)
        artifacts[name] = step.trained(within(progress, start, start + step.width, prefix=f"{name}: "))
        qualities[name] = step.quality(artifacts[name])
    times = _times(artifacts, directory, options, progress)
    steps = [_reported(name, scale, qualities[name], times[name]) for name in options.presets]
    first = qualities[options.presets[0]]
    return AblationReport(
        scale=scale,
        iterations=config.iterations,
        training=_described(config),
        images=", ".join(path.name for path in options.images),
        bicubic=first.bicubic.psnr_y,
        environment=environment(),
        threads=SessionOptions(options.threads).resolved_threads(),
        steps=tuple(steps),
    )


@dataclass(frozen=True)
class _Step:
    """One preset: its training and its quality."""

    name: str
    scale: int
    directory: Path
    config: TrainingConfig
    options: AblateOptions

    @property
    def width(self) -> float:
        """Share of the progress of the ablation that is its training."""
        return _TRAINING_SHARE / len(self.options.presets)

    @property
    def network(self) -> Configuration:
        return replace(PRESETS[self.name], scale=self.scale)

    def trained(self, progress: ProgressCallback) -> Artifact:
        """Train the network, continuing an interrupted training, and export it."""
        config = msgspec.structs.replace(self.config, network=self.network, threads=self.options.threads)
        result = train(
            config,
            self.directory,
            resume=True,
            cache=self.options.cache,
            progress=progress,
        )
        if not result.finished:
            raise CheckFailed(f"the training of {self.name} was interrupted", "Run the same command again to continue.")
        checkpoint = load_checkpoint(result.output / "last.safetensors", high_frequency="present")
        return export(checkpoint, ExportOptions(name=f"{self.name}_x{self.scale}"), self.directory, overwrite=True)

    def quality(self, artifact: Artifact) -> NetworkReport:
        """Evaluate the artifact, unless the result for these weights and images is stored."""
        path = self.directory / _QUALITY
        key = [artifact.manifest.onnx_sha256, *(str(image.resolve()) for image in self.options.images)]
        if (stored := _stored(path, key, NetworkReport)) is not None:
            return stored
        subject = Subject(artifact, "ort-cpu", self.options.threads)
        (report,) = evaluate([subject], self.options.images).networks
        write_bytes(path, msgspec.json.encode({"of": key, "report": report}))
        return report


def _stored(path: Path, key: list[str], kind: type[T]) -> T | None:
    """A stored result, if its key is the same."""
    if not path.is_file():
        return None
    found = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    if msgspec.json.decode(found["of"]) != key:
        return None
    return msgspec.json.decode(found["report"], type=kind)


def _times(
    artifacts: dict[str, Artifact], directory: Path, options: AblateOptions, progress: ProgressCallback
) -> dict[str, list[FrameTime]]:
    """Frame times of all presets: for each workload and runtime, all networks take turns."""
    path = directory / _TIMES
    key = [str(options.duration), str(options.threads), *options.runtimes]
    key += [artifact.manifest.onnx_sha256 for artifact in artifacts.values()]
    if (stored := _stored(path, key, dict[str, list[FrameTime]])) is not None:
        return stored
    times: dict[str, list[FrameTime]] = {name: [] for name in artifacts}
    groups = [(workload, runtime) for workload in _workloads() for runtime in options.runtimes]
    for index, (workload, runtime) in enumerate(groups):
        served = {name: _serving(name, artifact, workload, directory) for name, artifact in artifacts.items()}

        start, end = (_TRAINING_SHARE + (1 - _TRAINING_SHARE) * done / len(groups) for done in (index, index + 1))
        requests = [_request(artifact, runtime, workload, options.threads) for artifact in served.values()]
        for name, measured in zip(
            served, measure(requests, Pace(options.duration), within(progress, start, end)), strict=True
        ):
            median = None if measured.failure else summarise(measured.times).median
            times[name].append(FrameTime(runtime, workload.name, median, measured.failure))
    write_bytes(path, msgspec.json.encode({"of": key, "report": times}))
    return times


def _workloads() -> list[Workload]:
    """The workloads of the architecture's usual scales."""
    return [workload for workload in WORKLOADS.values() if workload.scale in DEFAULT.usual_scales]


def _serving(name: str, artifact: Artifact, workload: Workload, directory: Path) -> Artifact:
    """The trained artifact, or one with the workload's scale and random weights."""
    scale = workload.scale or artifact.manifest.network.scale
    if scale == artifact.manifest.network.scale:
        return artifact
    options = ExportOptions(name=f"{name}_x{scale}")
    return export(untrained_checkpoint(scale, preset=name), options, directory / name, overwrite=True)


def _request(artifact: Artifact, runtime: str, workload: Workload, threads: int) -> Open:
    count = SessionOptions(threads).resolved_threads()
    return Open(runtime, str(artifact.path), artifact.manifest.precision, *workload.shape.sides, count)


def _reported(name: str, scale: int, quality: NetworkReport, times: list[FrameTime]) -> StepReport:
    config = replace(PRESETS[name], scale=scale)
    costs = {
        workload.name: complexity(replace(config, scale=workload.scale or scale), workload.shape)
        for workload in _workloads()
    }
    own = complexity(config, _workloads()[0].shape)
    return StepReport(
        preset=name,
        parameters=own.parameters,
        fused_parameters=own.fused_parameters,
        multiply_adds={workload: cost.multiply_adds for workload, cost in costs.items()},
        psnr_y=quality.subjects[0].mean.psnr_y,
        times=tuple(times),
    )


def _described(config: TrainingConfig) -> str:
    patches = "/".join(map(str, config.patches))
    step = f"{config.optimizer} at {config.learning_rate:g}"
    return f"{step}, batch {config.batch}, patches {patches}, {config.loss}, seed {config.seed}"
