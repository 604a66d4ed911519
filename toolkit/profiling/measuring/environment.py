"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import psutil

from toolkit.profiling.measuring.nvidia import open_nvidia
from toolkit.system.hardware import cpu_model, cuda_devices, usable_cpus

_FIRST_PROCESSOR = Path("/sys/devices/system/cpu/cpu0")
_GOVERNOR = _FIRST_PROCESSOR / "cpufreq" / "scaling_governor"

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
    """The machine and the software.

    `processors` are those this process may use, `cores` the physical cores of the machine; `load` is the one-minute
    load average when measuring began; `virtual`: under a hypervisor; `governor` and `gpu` are empty where there is none
    to be seen.
    """

    system: str
    processor: str
    processor_flags: tuple[str, ...]
    processors: int
    memory_bytes: int
    load: float
    python: str
    packages: dict[str, str]
    cores: int | None = None
    virtual: bool = False
    governor: str = ""
    gpu: str = ""
    gpu_driver: str = ""


def environment() -> Environment:
    """This machine, now."""
    model, flags = cpu_model()
    return Environment(
        system=f"{platform.system()} {platform.release()}",
        processor=model,
        processor_flags=flags,
        processors=usable_cpus(),
        memory_bytes=psutil.virtual_memory().total,
        load=psutil.getloadavg()[0],
        python=platform.python_version(),
        packages=installed_packages(),
        cores=psutil.cpu_count(logical=False),
        virtual=_is_virtual(),
        governor=_GOVERNOR.read_text().strip() if _GOVERNOR.exists() else "",
        gpu=", ".join(cuda_devices()[0]),
        gpu_driver="" if (nvidia := open_nvidia()[0]) is None else nvidia.driver,
    )


def _is_virtual() -> bool:
    info = Path("/proc/cpuinfo")
    return info.exists() and bool(re.search(r"^flags\b.*\bhypervisor\b", info.read_text(), re.MULTILINE))


def choose_processors(threads: int) -> tuple[int, ...]:
    """Which of the usable processors to run so many threads on: one of every core first, then their siblings.

    Empty where there is no choosing (not on Linux).
    """
    if not hasattr(os, "sched_getaffinity"):
        return ()
    usable = sorted(os.sched_getaffinity(0))
    taken: dict[str, int] = {}
    rank = {}
    for cpu in usable:
        core = _FIRST_PROCESSOR.with_name(f"cpu{cpu}") / "topology" / "thread_siblings_list"
        name = core.read_text() if core.exists() else str(cpu)
        rank[cpu] = taken[name] = taken.get(name, -1) + 1
    return tuple(sorted(sorted(usable, key=lambda cpu: (rank[cpu], cpu))[:threads]))


def installed_packages(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
