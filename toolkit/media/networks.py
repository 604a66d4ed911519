"""The networks that a run may need, one per scale, found when they are first needed."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from toolkit.artifact import Artifact, find_artifacts
from toolkit.errors import InputError, Unavailable
from toolkit.kinds import Kind
from toolkit.media.failure import Failure, attempt
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import Target
from toolkit.media.upscaler import FrameUpscaler
from toolkit.network.bundled import BUNDLED_SCALES, bundled_checkpoint, bundled_sha256
from toolkit.precisions import FULL_PRECISION
from toolkit.runtimes.registry import find_runtime
from toolkit.runtimes.subject import Subject
from toolkit.system.cache import cache_directory

UPSCALING_KINDS: tuple[Kind, ...] = ("artifact", "engine")
"""Kinds of networks that upscale: a checkpoint is exported first."""


class Networks:
    """Networks by scale: those that were named or, if none were, those of the directory and the toolkit's own."""

    def __init__(self, options: UpscaleOptions, threads: int = 0) -> None:
        self._options, self._threads = options, threads or options.threads
        self._found: dict[int, Subject] = {}
        self._open: dict[int, FrameUpscaler] = {}

    def __call__(self, scale: int) -> Subject:
        """The network of a scale.

        Raises:
            InputError: there is none, or several.
        """
        if scale not in self._found:
            self._found[scale] = self._find(scale)
        return self._found[scale]

    @cached_property
    def scales(self) -> tuple[int, ...]:
        """Scales of the networks that are there, ascending; each once.

        Raises:
            ToolkitError: a network that was named cannot be read.
        """
        if self._options.models:
            return tuple(sorted({subject.scale for subject in self._named}))
        own = BUNDLED_SCALES if self._options.precision == FULL_PRECISION else ()
        return tuple(sorted({*own, *(artifact.contract.scale for artifact in self._stored)}))

    @property
    def target(self) -> Target:
        """The target of the options, among the networks that are there."""
        target = self._options.target
        return target if target.box is None else replace(target, scales=self.scales)

    def check(self, *, runs_here: bool) -> None:
        """Check networks, precision and runtime of the options before the first file.

        Args:
            runs_here: in this process or on this machine, so that the runtime must work here.

        Raises:
            InputError: there is no such runtime or network, or the network does not fit.
            Unavailable: the runtime does not work here.
        """
        options = self._options
        if options.runtime is not None:
            runtime = find_runtime(options.runtime)
            available = runtime.probe()
            if runs_here and not available.ok:
                raise Unavailable(f"{runtime.name} does not work here: {available.reason}", available.remedy)
        if options.target.scale is None:
            self._check_any()
        else:
            self(options.target.scale)
        for subject in self._found.values() if runs_here else ():
            opened = attempt(subject.path, subject.load)
            if isinstance(opened, Failure):
                opened.reraise()

    def _check_any(self) -> None:
        """The scale that is needed depends on the sizes of the files, so at least one network must enlarge images."""
        enlarging = [scale for scale in self.scales if scale > 1]
        if not enlarging:
            there = ", ".join(f"x{scale}" for scale in self.scales)
            raise InputError(
                f"--to needs a network that enlarges, and the only ones here are {there}"
                if there
                else f"{self._options.directory} has no network in {self._options.precision} for --to",
                "Choose one with --model.",
            )
        errors = []
        for scale in enlarging:
            try:
                self(scale)
            except InputError as error:
                errors.append(error)
        if len(errors) == len(enlarging):
            raise errors[0]

    def upscaler(self, scale: int) -> FrameUpscaler:
        """For pictures, loaded once."""
        if scale not in self._open:
            self._open[scale] = FrameUpscaler(self(scale), memory=self._options.memory, packed=True)
        return self._open[scale]

    def forget(self) -> None:
        """Load networks again when they are needed: their state is unknown after an unexpected error."""
        self._open.clear()

    def all(self) -> dict[int, Subject]:
        """All networks that a run may need, for workers."""
        scale = self._options.target.scale
        scales = [scale] if scale is not None else [item for item in self.scales if item > 1]
        return {item: self(item) for item in scales}

    @property
    def hashes(self) -> list[str]:
        """sha256 of the ONNX files of the networks that were found."""
        return [subject.sha256 for subject in self._found.values()]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(subject.label for subject in self._found.values())

    @cached_property
    def _named(self) -> list[Subject]:
        """The networks that the options name."""
        runtime, threads = self._options.runtime, self._threads
        parsed = (
            Subject.parse(item, runtime, accepted=UPSCALING_KINDS, threads=threads) for item in self._options.models
        )
        return list(parsed)

    @cached_property
    def _stored(self) -> list[Artifact]:
        """Artifacts of the directory in the requested precision that accept any size."""
        directory, precision = self._options.directory, self._options.precision
        found = find_artifacts(directory, skip=lambda _: None) if directory.is_dir() else []
        return [item for item in found if item.contract.fixed is None and item.manifest.precision == precision]

    def _find(self, scale: int) -> Subject:
        """The network of a scale: one that the options name, else one in the directory, else the toolkit's own weights.

        Raises:
            InputError: several fit, or none does.
        """
        options = self._options
        if options.models:
            fitting = [subject for subject in self._named if subject.scale == scale]
            if not fitting:
                raise InputError(f"none of the given networks upscales x{scale}", "Add one with --model.")
        else:
            stored = [artifact for artifact in self._stored if artifact.contract.scale == scale]
            fitting = [Subject.of(artifact, options.runtime, self._threads) for artifact in stored]
        if len(fitting) > 1:
            names = ", ".join(subject.path.name for subject in fitting)
            raise InputError(f"several networks are x{scale}: {names}", "Choose one with --model.")
        if fitting:
            return fitting[0]
        if options.precision != FULL_PRECISION:
            raise InputError(
                f"{options.directory} has no x{scale} network in {options.precision}",
                "Create one: `toolkit export`, then `toolkit convert`; or give one with --model.",
            )
        if scale not in BUNDLED_SCALES:
            own = " and ".join(f"x{item}" for item in BUNDLED_SCALES)
            raise InputError(
                f"there is no network for x{scale}: {options.directory} has none, and the toolkit's own are {own}",
                "Choose one with --model.",
            )
        return Subject.of(bundled_artifact(scale), options.runtime, self._threads)


def bundled_artifact(scale: int) -> Artifact:
    """The toolkit's own weights as an artifact, made once and kept in the user's cache.

    Raises:
        CheckpointError: there are none of this scale.
    """
    directory = cache_directory() / bundled_sha256(scale)[:12]
    kept = find_artifacts(directory, skip=lambda _: None) if directory.is_dir() else []
    if kept:
        return kept[0]  # Without torch, which takes seconds to load.
    from toolkit.graph.export import export

    return export(bundled_checkpoint(scale), directory=directory, overwrite=True)
