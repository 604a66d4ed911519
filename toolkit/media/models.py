"""The networks a run may need, found when they are."""

from __future__ import annotations

from pathlib import Path

from toolkit.errors import InputError, Unavailable, suggestion
from toolkit.media.failure import Failure, attempt
from toolkit.media.model import Model, find_model_source
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import SCALES
from toolkit.media.upscaler import Upscaler
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.registry import default_runtime, find_runtime


class Models:
    """By scale."""

    def __init__(self, options: UpscaleOptions, threads: int = 0) -> None:
        self._options, self._threads = options, threads or options.threads
        self._found: dict[int, Model] = {}
        self._open: dict[int, Upscaler] = {}

    def __call__(self, scale: int) -> Model:
        """The network of a scale.

        Raises:
            InputError: none, or several, of those that were named fit.
        """
        if scale not in self._found:
            options = self._options
            source = find_model_source(options.directory, scale, options.precision, options.models)
            if source is None:
                raise InputError(f"none of the networks that were named is x{scale}", "Name one more with --model.")
            runtime = source.info.runtime if isinstance(source, Engine) else options.runtime or default_runtime(source)
            self._found[scale] = Model(source, runtime, self._threads, options.memory)
        return self._found[scale]

    def check(self, *, runs_here: bool) -> None:
        """Find what cannot be right about the options before the first file: networks, precision, runtime.

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
        for path in options.models:
            if not path.exists():
                raise InputError(f"there is no network {path}", _near(path))
        scale = options.target.scale
        if scale is None:
            self._check_any()
        else:
            self(scale)
        for model in self._found.values() if runs_here else ():
            opened = attempt(model.source.path, model.open)
            if isinstance(opened, Failure):
                opened.reraise()

    def _check_any(self) -> None:
        """Sizes of files decide which scale is needed: one at least must be there."""
        errors = []
        for scale in SCALES:
            try:
                self(scale)
            except InputError as error:
                errors.append(error)
        if len(errors) == len(SCALES):
            raise errors[0]

    def upscaler(self, scale: int) -> Upscaler:
        """For pictures, loaded once."""
        if scale not in self._open:
            self._open[scale] = Upscaler(self(scale), packed=True)
        return self._open[scale]

    def forget(self) -> None:
        """Load networks again when they are needed: after an unexpected error nobody knows what state they are in."""
        self._open.clear()

    def all(self) -> dict[int, Model]:
        """All that a run may need, for workers."""
        scale = self._options.target.scale
        scales = [scale] if scale is not None else SCALES
        return {item: self(item) for item in scales}

    @property
    def hashes(self) -> list[str]:
        """sha256 of the networks that were found."""
        return [model.manifest.onnx_sha256 for model in self._found.values()]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(model.label for model in self._found.values())


def _near(path: Path) -> str:
    known = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    networks = sorted(name for name in known if name.endswith((".onnx", ".engine")))
    return suggestion(path.name, networks) if networks else "`toolkit export` makes one."
