"""The networks that a run may need, one per scale, found when they are first needed."""

from __future__ import annotations

from toolkit.artifact import Artifact, find_artifacts
from toolkit.errors import InputError, Unavailable
from toolkit.kinds import Kind
from toolkit.media.failure import Failure, attempt
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import SCALES
from toolkit.media.upscaler import FrameUpscaler
from toolkit.precisions import FULL_PRECISION
from toolkit.runtimes.registry import find_runtime
from toolkit.runtimes.subject import Subject
from toolkit.system.cache import cache_directory

UPSCALING_KINDS: tuple[Kind, ...] = ("artifact", "engine")
"""Kinds of networks that upscale: a checkpoint is exported first."""


class Networks:
    """Networks by scale."""

    def __init__(self, options: UpscaleOptions, threads: int = 0) -> None:
        self._options, self._threads = options, threads or options.threads
        self._found: dict[int, Subject] = {}
        self._open: dict[int, FrameUpscaler] = {}

    def __call__(self, scale: int) -> Subject:
        """The network of a scale.

        Raises:
            InputError: see `find_network`.
        """
        if scale not in self._found:
            self._found[scale] = find_network(scale, self._options, self._threads)
        return self._found[scale]

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
        scale = options.target.scale
        if scale is None:
            self._check_any()
        else:
            self(scale)
        for subject in self._found.values() if runs_here else ():
            opened = attempt(subject.path, subject.load)
            if isinstance(opened, Failure):
                opened.reraise()

    def _check_any(self) -> None:
        """The sizes of files decide which scale is needed: at least one must be there."""
        errors = []
        for scale in SCALES:
            try:
                self(scale)
            except InputError as error:
                errors.append(error)
        if len(errors) == len(SCALES):
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
        """All that a run may need, for workers."""
        scale = self._options.target.scale
        scales = [scale] if scale is not None else SCALES
        return {item: self(item) for item in scales}

    @property
    def hashes(self) -> list[str]:
        """sha256 of the ONNX files of the networks that were found."""
        return [subject.sha256 for subject in self._found.values()]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(subject.label for subject in self._found.values())


def find_network(scale: int, options: UpscaleOptions, threads: int) -> Subject:
    """The network of a scale: of those that were named, else of the directory, else the toolkit's own weights.

    Raises:
        InputError: several fit, or none that was named does; or the toolkit's own weights are asked for in a precision
            other than fp32.
    """
    if options.models:
        named = [
            Subject.parse(item, options.runtime, accepted=UPSCALING_KINDS, threads=threads) for item in options.models
        ]
        if not (fitting := [subject for subject in named if subject.scale == scale]):
            raise InputError(f"none of the networks that were named is x{scale}", "Name one more with --model.")
    else:
        fitting = [Subject.of(item, options.runtime, threads) for item in _in_directory(scale, options)]
    if len(fitting) > 1:
        names = ", ".join(subject.path.name for subject in fitting)
        raise InputError(f"several networks are x{scale}: {names}", "Name one with --model.")
    if fitting:
        return fitting[0]
    if options.precision != FULL_PRECISION:
        raise InputError(
            f"{options.directory} has no x{scale} network in {options.precision}",
            "Make one: `toolkit export`, then `toolkit convert`; or name one with --model.",
        )
    return Subject.of(bundled_artifact(scale), options.runtime, threads)


def _in_directory(scale: int, options: UpscaleOptions) -> list[Artifact]:
    found = find_artifacts(options.directory, skip=lambda _: None) if options.directory.is_dir() else []
    return [
        item
        for item in found
        if item.contract.scale == scale and item.contract.fixed is None and item.manifest.precision == options.precision
    ]


def bundled_artifact(scale: int) -> Artifact:
    """The toolkit's own weights as an artifact, made once and kept in the user's cache.

    Raises:
        CheckpointError: there are none of this scale.
    """
    from toolkit.network.bundled import bundled_checkpoint, bundled_sha256

    directory = cache_directory() / bundled_sha256(scale)[:12]
    kept = find_artifacts(directory, skip=lambda _: None) if directory.is_dir() else []
    if kept:
        return kept[0]  # Without torch, which takes seconds to load.
    from toolkit.graph.export import export

    return export(bundled_checkpoint(scale), directory=directory, overwrite=True)
