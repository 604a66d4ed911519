"""`toolkit doctor`: the machine, the installed software, which runtimes work here, and the defaults of options."""

from __future__ import annotations

import shutil

import msgspec

from toolkit.artifact import encode
from toolkit.defaults import Default, read_defaults
from toolkit.errors import InputError
from toolkit.profiling.measuring.environment import Environment, environment, installed_packages
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.runtimes.registry import RUNTIMES
from toolkit.system.extras import how_to_install


class RuntimeDiagnosis(msgspec.Struct, frozen=True):
    """Whether a runtime works here; if not, why, and how to make it work."""

    name: str
    description: str
    ok: bool
    version: str
    reason: str
    remedy: str


class ExtraDiagnosis(msgspec.Struct, frozen=True):
    """Whether an optional package is installed, and how to install it."""

    package: str
    serves: str
    ok: bool
    version: str
    remedy: str


class Diagnosis(msgspec.Struct, frozen=True):
    """The machine, its software, all runtimes and optional packages, and the defaults of options.

    Attributes:
        defaults: from the files `rt4ksr.toml` that apply in the working directory.
        defaults_problem: what is wrong with such a file, if anything is; then there are no defaults.
    """

    environment: Environment
    gpu: str
    compiler: str
    runtimes: tuple[RuntimeDiagnosis, ...]
    extras: tuple[ExtraDiagnosis, ...]
    defaults: tuple[Default, ...]
    defaults_problem: str

    def to_json(self) -> str:
        return encode(self).decode()


def diagnose() -> Diagnosis:
    """Look at this machine. Never raises, and touches no device it cannot prove is there.

    Example:
        >>> [runtime.name for runtime in toolkit.diagnose().runtimes if runtime.ok]  # doctest: +ELLIPSIS
        ['torch-unfused', ...]
    """
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
        *_defaults(),
    )


def _defaults() -> tuple[tuple[Default, ...], str]:
    try:
        return read_defaults(), ""
    except InputError as error:
        return (), str(error)


_EXTRAS = (
    ("av", "video", "videos, and images with 16 bits per colour (PyAV)"),
    ("spandrel", "architectures", "checkpoints of other architectures"),
    ("ray", "ray", "upscaling on several machines"),
    ("matplotlib", "plot", "plots"),
    ("tensorboard", "train", "training logs"),
    ("nvidia-ml-py", "nvidia", "clocks and energy of an NVIDIA GPU"),
)
"""Package, extra that installs it, and purpose."""


def _extras() -> tuple[ExtraDiagnosis, ...]:
    found = installed_packages([package for package, _, _ in _EXTRAS])
    return tuple(
        ExtraDiagnosis(
            package,
            serves,
            package in found,
            found.get(package, ""),
            "" if package in found else how_to_install(extra),
        )
        for package, extra, serves in _EXTRAS
    )


def _compiler() -> str:
    return next((path for name in ("c++", "g++", "clang++") if (path := shutil.which(name))), "none found")
