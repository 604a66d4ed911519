"""The environment of a measurement: machine, operating system, package versions."""

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
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.system.hardware import cpu_model, usable_cpus

_FIRST_CPU = Path("/sys/devices/system/cpu/cpu0")
_GOVERNOR = _FIRST_CPU / "cpufreq" / "scaling_governor"

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
"""Packages whose version may change results."""


class Environment(msgspec.Struct, frozen=True):
    """The machine and the software.

    `processor` is the CPU model, `processors` the number of logical CPUs available to this process, `cores` the number
    of physical cores of the machine, `load` the one-minute load average when the measurement started, `virtual` whether
    a hypervisor was detected. `governor` and `gpu` are empty if none was found.
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
    """The environment of this process, now."""
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


def available_cpus() -> tuple[int, ...]:
    """Numbers of the logical CPUs available to this process; empty where there is no CPU affinity (not on Linux)."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def choose_cpus(threads: int) -> tuple[int, ...]:
    """CPUs to run `threads` threads on: one logical CPU of each core first, then their hyper-threading siblings.

    Empty where there is no CPU affinity (not on Linux).
    """
    usable = available_cpus()
    taken: dict[str, int] = {}
    rank = {}
    for cpu in usable:
        core = _FIRST_CPU.with_name(f"cpu{cpu}") / "topology" / "thread_siblings_list"
        name = core.read_text() if core.exists() else str(cpu)
        rank[cpu] = taken[name] = taken.get(name, -1) + 1
    return tuple(sorted(sorted(usable, key=lambda cpu: (rank[cpu], cpu))[:threads]))


def installed_packages(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of the packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
