"""The networks a run may need, found when they are."""

from __future__ import annotations

from toolkit.errors import InputError
from toolkit.media.model import Model, find_model_source
from toolkit.media.options import UpscaleOptions
from toolkit.media.target import SCALES
from toolkit.media.upscaler import Upscaler
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.registry import default_runtime


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

    def upscaler(self, scale: int) -> Upscaler:
        """For pictures, loaded once."""
        if scale not in self._open:
            self._open[scale] = Upscaler(self(scale), packed=True)
        return self._open[scale]

    def all(self) -> dict[int, Model]:
        """All that a run may need, for workers."""
        scale = self._options.target.scale
        scales = [scale] if scale is not None else SCALES
        return {item: self(item) for item in scales}

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(model.label for model in self._found.values())
