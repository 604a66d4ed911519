"""Runtimes that are references: found by name, and neither measured nor built for."""

from __future__ import annotations

from toolkit.runtimes.onnxruntime.simulated import SimulatedRuntime
from toolkit.runtimes.protocol import Runtime
from toolkit.runtimes.pytorch.checkpoint import Float64Runtime
from toolkit.runtimes.registry import find_runtime

REFERENCES: dict[str, Runtime] = {runtime.name: runtime for runtime in (SimulatedRuntime(), Float64Runtime())}


def find_any(name: str) -> Runtime:
    """A runtime or a reference by name.

    Raises:
        InputError: there is neither.
    """
    return REFERENCES.get(name) or find_runtime(name)
