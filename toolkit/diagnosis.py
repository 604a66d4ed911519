"""`toolkit doctor`: what is installed, what works here, and what would make the rest work."""

from __future__ import annotations

import shutil

import msgspec

from toolkit.artifact import encode
from toolkit.profiling.environment import Environment, environment
from toolkit.runtimes.hardware import cuda_devices
from toolkit.runtimes.registry import RUNTIMES


class RuntimeDiagnosis(msgspec.Struct, frozen=True):
    """Whether a runtime works here; if not, why and what would make it work."""

    name: str
    description: str
    ok: bool
    version: str
    reason: str
    remedy: str


class Diagnosis(msgspec.Struct, frozen=True):
    """The machine, the software, and every runtime."""

    environment: Environment
    gpu: str
    compiler: str
    runtimes: tuple[RuntimeDiagnosis, ...]

    def to_json(self) -> str:
        return encode(self).decode()


def diagnose() -> Diagnosis:
    """Look at this machine. Never raises, and touches no device it cannot prove is there."""
    runtimes = []
    for runtime in RUNTIMES.values():
        found = runtime.probe()
        runtimes.append(
            RuntimeDiagnosis(runtime.name, runtime.description, found.ok, found.version, found.reason, found.remedy)
        )
    devices, reason = cuda_devices()
    return Diagnosis(environment(), ", ".join(devices) or f"none: {reason}", _compiler(), tuple(runtimes))


def _compiler() -> str:
    return next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), "none found")
