"""`toolkit doctor`: what is installed, what works here, and what would make the rest work."""

from __future__ import annotations

import shutil

import msgspec

from toolkit.artifact import encode
from toolkit.profiling.measuring.environment import Environment, environment, installed_packages
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.runtimes.registry import RUNTIMES


class RuntimeDiagnosis(msgspec.Struct, frozen=True):
    """Whether a runtime works here; if not, why and what would make it work."""

    name: str
    description: str
    ok: bool
    version: str
    reason: str
    remedy: str


class ExtraDiagnosis(msgspec.Struct, frozen=True):
    """Whether a package is there that only some commands need, and what installs it."""

    package: str
    serves: str
    ok: bool
    version: str
    remedy: str


class Diagnosis(msgspec.Struct, frozen=True):
    """The machine, the software, every runtime, and what only some commands need."""

    environment: Environment
    gpu: str
    compiler: str
    runtimes: tuple[RuntimeDiagnosis, ...]
    extras: tuple[ExtraDiagnosis, ...]

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
    return Diagnosis(
        environment(),
        ", ".join(devices) or f"none: {reason}",
        _compiler(),
        tuple(runtimes),
        _extras(),
    )


_EXTRAS = (
    ("av", "video", "videos, and pictures with 16 bits a colour (PyAV)"),
    ("ray", "ray", "upscaling on many machines"),
    ("matplotlib", "plot", "pictures of curves"),
    ("tensorboard", "train", "logs of training"),
    ("nvidia-ml-py", "nvidia", "clocks and energy of an NVIDIA GPU"),
)
"""Package, extra, and what it serves."""


def _extras() -> tuple[ExtraDiagnosis, ...]:
    found = installed_packages([package for package, _, _ in _EXTRAS])
    return tuple(
        ExtraDiagnosis(
            package,
            serves,
            package in found,
            found.get(package, ""),
            "" if package in found else f'pip install "rt4ksr-toolkit[{extra}]"',
        )
        for package, extra, serves in _EXTRAS
    )


def _compiler() -> str:
    return next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), "none found")
