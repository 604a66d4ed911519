"""What a measurement was made on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import msgspec
import psutil

from toolkit.runtimes.hardware import processor, usable_processors

PACKAGES = (
    "rt4ksr-toolkit",
    "torch",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "onnxsim",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
    "polygraphy",
    "numpy",
)
"""What results may depend on."""


class Environment(msgspec.Struct, frozen=True):
    """The machine and the software. `load` is the one-minute load average when measuring began."""

    system: str
    processor: str
    processor_flags: tuple[str, ...]
    processors: int
    memory_bytes: int
    load: float
    python: str
    packages: dict[str, str]


def environment() -> Environment:
    """This machine, now."""
    model, flags = processor()
    return Environment(
        system=f"{platform.system()} {platform.release()}",
        processor=model,
        processor_flags=flags,
        processors=usable_processors(),
        memory_bytes=psutil.virtual_memory().total,
        load=psutil.getloadavg()[0],
        python=platform.python_version(),
        packages=installed_packages(),
    )


def installed_packages() -> dict[str, str]:
    """Versions of those of `PACKAGES` that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
