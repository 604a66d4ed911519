"""The networks that a run may need, one per scale and purpose, found when they are first needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from toolkit.artifact import Artifact, find_artifacts
from toolkit.errors import InputError, Unavailable
from toolkit.kinds import Kind
from toolkit.media.failure import Failure, attempt
from toolkit.media.item import Item
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import Target
from toolkit.media.upscaler import FrameUpscaler
from toolkit.media.weights import Choice, choose
from toolkit.network.bundled import bundled_checkpoint
from toolkit.network.bundled_files import BUNDLED, Bundled, Purpose, bundled_sha256
from toolkit.precisions import FULL_PRECISION
from toolkit.runtimes.registry import find_runtime
from toolkit.runtimes.subject import Subject
from toolkit.system.cache import cache_directory

_TOOLKIT = "rt4ksr-toolkit"

UPSCALING_KINDS: tuple[Kind, ...] = ("artifact", "engine")
"""Kinds of networks that upscale: a checkpoint is exported first."""

_PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


@dataclass(frozen=True)
class _Found:
    """A network, and whether it is one for another purpose, because there is none for the one that was wanted."""

    subject: Subject
    substitute: bool = False


class Networks:
    """Networks by scale and purpose: those that were named or, if none were, those of the directory and the toolkit's
    own."""

    def __init__(self, options: UpscaleOptions, threads: int = 0) -> None:
        self._options, self._threads = options, threads or options.threads
        self._found: dict[tuple[int, Purpose], _Found] = {}
        self._open: dict[str, FrameUpscaler] = {}
        self._chosen: dict[Path, tuple[Purpose, str]] = {}

    def __call__(self, scale: int, purpose: Purpose = "clean") -> Subject:
        """The network of a scale for a purpose.

        Raises:
            InputError: there is none, or several.
        """
        return self._get(scale, purpose).subject

    def of(self, item: Item) -> FileNetworks:
        """The networks for a file."""
        if item.source not in self._chosen:
            self._chosen[item.source] = ("clean", "") if self._options.models else choose(item, self._options.weights)
        return FileNetworks(self, *self._chosen[item.source])

    def choice(self, scale: int, purpose: Purpose, reason: str) -> Choice:
        """What to say about a network that was found; the reason is that of the purpose."""
        found = self._get(scale, purpose)
        if self._options.models:
            return Choice()
        trained_for = found.subject.purpose
        if trained_for is None:
            return Choice(reason=f"{found.subject.name} in {self._options.directory}")
        missing = f", no {purpose} weights for x{scale}" if found.substitute else ""
        return Choice(trained_for, f"{reason}{missing}")

    def _get(self, scale: int, purpose: Purpose) -> _Found:
        if (scale, purpose) not in self._found:
            self._found[scale, purpose] = self._find(scale, purpose)
        return self._found[scale, purpose]

    @cached_property
    def scales(self) -> tuple[int, ...]:
        """Scales of the networks that are there, ascending; each once.

        Raises:
            ToolkitError: a network that was named cannot be read.
        """
        if self._options.models:
            return tuple(sorted({subject.scale for subject in self._named}))
        own = [item.scale for item in self._bundled]
        return tuple(sorted({*own, *(artifact.contract.scale for artifact in self._stored)}))

    @property
    def target(self) -> Target:
        """The target of the options, among the networks that are there."""
        target = self._options.target
        return target if target.box is None else replace(target, scales=self.scales)

    def check(self, items: Iterable[Item], *, runs_here: bool) -> None:
        """Check networks, precision and runtime of the options before the first file.

        Args:
            items: the files. Of pictures it is not read yet which weights they need.
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
        for purpose in self._purposes(items):
            if options.target.scale is None:
                self._check_any(purpose)
            else:
                self(options.target.scale, purpose)
        for subject in self._subjects if runs_here else ():
            opened = attempt(subject.path, subject.load)
            if isinstance(opened, Failure):
                opened.reraise()

    def _purposes(self, items: Iterable[Item]) -> list[Purpose]:
        """What networks are certainly needed for."""
        options = self._options
        if options.models:
            return ["clean"]
        if options.weights != "auto":
            return [options.weights]
        return sorted({"video" if item.kind == "video" else "clean" for item in items})

    def _check_any(self, purpose: Purpose) -> None:
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
                self(scale, purpose)
            except InputError as error:
                errors.append(error)
        if len(errors) == len(enlarging):
            raise errors[0]

    def upscaler(self, subject: Subject) -> FrameUpscaler:
        """For pictures, loaded once."""
        key = f"{subject.path}@{subject.runtime}"
        if key not in self._open:
            self._open[key] = FrameUpscaler(subject, memory=self._options.memory, packed=True)
        return self._open[key]

    def forget(self) -> None:
        """Load networks again when they are needed: their state is unknown after an unexpected error."""
        self._open.clear()

    def all(self, purpose: Purpose) -> dict[int, Subject]:
        """All networks that a run may need for a purpose, for workers."""
        scale = self._options.target.scale
        scales = [scale] if scale is not None else [item for item in self.scales if item > 1]
        return {item: self(item, purpose) for item in scales}

    @property
    def hashes(self) -> list[str]:
        """SHA-256 of all networks that the run may use: of ONNX files, and of the toolkit's own weights."""
        if self._options.models:
            return [subject.sha256 for subject in self._named]
        scale = self._options.target.scale
        stored = [item.manifest.onnx_sha256 for item in self._stored if scale in (None, item.contract.scale)]
        own = [bundled_sha256(item.scale, item.purpose) for item in self._bundled if scale in (None, item.scale)]
        return [*stored, *own]

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the networks that were found."""
        return tuple(subject.label for subject in self._subjects)

    @property
    def _subjects(self) -> list[Subject]:
        """The networks that were found, each once."""
        return list({str(found.subject.path): found.subject for found in self._found.values()}.values())

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
        """Artifacts of the directory in the requested precision that accept any size and suit the weights asked for."""
        directory, options = self._options.directory, self._options
        found = find_artifacts(directory, skip=lambda _: None) if directory.is_dir() else []
        accepted = (*_PURPOSES, None) if options.weights == "auto" else (options.weights,)
        return [
            item
            for item in found
            if item.contract.fixed is None
            and item.manifest.precision == options.precision
            and item.manifest.source.purpose in accepted
        ]

    @cached_property
    def _bundled(self) -> list[Bundled]:
        """The toolkit's own weights that suit the options."""
        options = self._options
        if options.precision != FULL_PRECISION:
            return []
        return [item for item in BUNDLED if options.weights in ("auto", item.purpose)]

    def _find(self, scale: int, purpose: Purpose) -> _Found:
        """A network: one that the options name, else one in the directory (the toolkit's own weights, if an export of
        them is there), else the toolkit's own weights.

        Raises:
            InputError: several fit, or none does.
        """
        if self._options.models:
            fitting = [subject for subject in self._named if subject.scale == scale]
            if not fitting:
                raise InputError(f"none of the given networks upscales x{scale}", "Add one with --model.")
            return _Found(_only(fitting, scale))
        stored = [item for item in self._stored if item.contract.scale == scale]
        # Exports of the toolkit's own weights come before networks from elsewhere beside them.
        own = [item for item in stored if item.manifest.source.purpose is not None]
        # Without weights for a purpose, those for another are used, which is said: see `choice`.
        for wanted in sorted(_PURPOSES, key=lambda item: item != purpose):
            fitting = [
                Subject.of(item, self._options.runtime, self._threads)
                for item in own or stored
                if item.manifest.source.purpose in (wanted, None)
            ]
            if fitting:
                return _Found(_only(fitting, scale), wanted != purpose)
            if Bundled(scale, wanted) in self._bundled:
                made = bundled_artifact(scale, wanted)
                return _Found(Subject.of(made, self._options.runtime, self._threads), wanted != purpose)
        raise self._missing(scale)

    def _missing(self, scale: int) -> InputError:
        options = self._options
        kind = "" if options.weights == "auto" else f"{options.weights} "
        if options.precision != FULL_PRECISION:
            return InputError(
                f"{options.directory} has no {kind}x{scale} network in {options.precision}",
                "Create one: `toolkit export`, then `toolkit convert`; or give one with --model.",
            )
        own = " and ".join(f"x{scale}" for scale in sorted({item.scale for item in self._bundled})) or "none"
        return InputError(
            f"there is no {kind}network for x{scale}: {options.directory} has none, and the toolkit's own are {own}",
            "Choose one with --model.",
        )


@dataclass(frozen=True)
class FileNetworks:
    """The networks for one file, by scale.

    Attributes:
        networks: of the run.
        purpose: what is wanted for the file.
        reason: why.
    """

    networks: Networks
    purpose: Purpose
    reason: str

    def __call__(self, scale: int) -> Subject:
        """Raises InputError: there is none, or several."""
        return self.networks(scale, self.purpose)

    def upscaler(self, scale: int) -> FrameUpscaler:
        """For pictures, loaded once."""
        return self.networks.upscaler(self(scale))

    def all(self) -> dict[int, Subject]:
        """All that may be needed, for workers."""
        return self.networks.all(self.purpose)

    def choice(self, scale: int) -> Choice:
        """What to say about the network of a scale."""
        return self.networks.choice(scale, self.purpose, self.reason)


def _only(fitting: list[Subject], scale: int) -> Subject:
    if len(fitting) > 1:
        names = ", ".join(subject.path.name for subject in fitting)
        raise InputError(f"several networks are x{scale}: {names}", "Choose one with --model.")
    return fitting[0]


def bundled_artifact(scale: int, purpose: Purpose = "clean") -> Artifact:
    """The toolkit's own weights as an artifact, made once by each version and kept in the user's cache.

    Raises:
        CheckpointError: there are none of this scale for this purpose.
    """
    directory = cache_directory() / bundled_sha256(scale, purpose)[:12]
    found = find_artifacts(directory, skip=lambda _: None) if directory.is_dir() else []
    # Another version may write another graph for the same weights.
    kept = [item for item in found if item.manifest.tools.get(_TOOLKIT) == version(_TOOLKIT)]
    if kept:
        return kept[0]  # Without torch, which takes seconds to load.
    from toolkit.graph.export import export

    return export(bundled_checkpoint(scale, purpose), directory=directory, overwrite=True)
