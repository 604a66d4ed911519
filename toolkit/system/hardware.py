"""CPU and GPU of this machine: models, instruction sets, and NVIDIA driver, without touching what may be missing."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

import msgspec

CUDA_DRIVER = "libcuda.so.1"
_MANAGEMENT = "libnvidia-ml.so.1"
_AMPERE = 8
_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h."""

# Instruction sets by which runtimes choose their kernels. On Arm, /proc/cpuinfo names the line `Features`.
_FLAGS = (
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_bf16", "amx_int8", "amx_fp16", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve"),
)
_ARITHMETIC = {
    "fp16": {"avx512_fp16", "amx_fp16", "asimdhp"},
    "bf16": {"avx512_bf16", "amx_bf16", "bf16"},
}


class Ceiling(msgspec.Struct, frozen=True):
    """Measured limits of a device.

    Attributes:
        device: `cpu` or `cuda`.
        bytes_per_second: read and written by a copy of memory.
        multiply_adds_per_second: of a large matrix product, for each precision that the device computes in.
        method: how both were measured.
    """

    device: str
    bytes_per_second: float
    multiply_adds_per_second: dict[str, float]
    method: str


def cpu_model() -> tuple[str, tuple[str, ...]]:
    """Name of the CPU, and those of its instruction sets by which runtimes choose their kernels."""
    fields = _cpuinfo()
    if not fields:
        return platform.processor() or platform.machine(), ()
    present = instruction_sets()
    return fields.get("model name", platform.machine()), tuple(flag for flag in _FLAGS if flag in present)


def instruction_sets() -> frozenset[str]:
    """All instruction sets that the system reports, by their names in /proc/cpuinfo."""
    fields = _cpuinfo()
    return frozenset(fields.get("flags", fields.get("Features", "")).split())


def _cpuinfo() -> dict[str, str]:
    """Fields of the first CPU in /proc/cpuinfo; empty if that file does not exist."""
    path = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


INSTRUCTIONS = "instructions"
"""Key of the instruction sets in an engine's identity."""


def cpu_identity() -> dict[str, str]:
    """What an engine with kernels for this CPU depends on."""
    return {INSTRUCTIONS: " ".join(cpu_model()[1])}


def computes_in(precision: str) -> bool:
    """Whether the CPU has arithmetic in fp16 or bf16, rather than only conversions."""
    return not _ARITHMETIC[precision].isdisjoint(cpu_model()[1])


def usable_cpus() -> int:
    """Number of logical CPUs that this process may run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cuda_devices() -> tuple[list[str], str]:
    """Names of the NVIDIA devices, and the reason if there are none, from the driver's library."""
    try:
        driver = ctypes.CDLL(CUDA_DRIVER)
    except OSError:
        return [], f"there is no NVIDIA driver ({CUDA_DRIVER})"
    if code := driver.cuInit(0):
        return [], f"the NVIDIA driver is installed, but cuInit fails with code {code}"
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    names = []
    for index in range(count.value):
        device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
        driver.cuDeviceGet(ctypes.byref(device), index)
        driver.cuDeviceGetName(name, len(name), device)
        names.append(name.value.decode())
    return names, "" if names else "the NVIDIA driver sees no device"


def device_identity(*, hardware_compatible: bool = False) -> dict[str, str]:
    """What an engine for the first NVIDIA device depends on; if compatible, an engine for any device since Ampere."""
    name, capability = (cuda_devices()[0] or ["none"])[0], compute_capability()
    if hardware_compatible and capability and int(capability.split(".")[0]) >= _AMPERE:
        return {"compute capability": f"{_AMPERE}.0 or later"}
    return {"device": name, "compute capability": capability or "none"}


def device_machine() -> dict[str, str]:
    """The NVIDIA device and its driver."""
    devices = cuda_devices()[0]
    return {"device": devices[0], "driver": driver_version()} if devices else {"device": "none"}


def compute_capability() -> str:
    """Compute capability of the first NVIDIA device, for instance `8.6`; empty without a device."""
    if not cuda_devices()[0]:
        return ""
    driver, device, number = ctypes.CDLL(CUDA_DRIVER), ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), 0)
    numbers = []
    for attribute in (_MAJOR, _MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        numbers.append(str(number.value))
    return ".".join(numbers)


def driver_version() -> str:
    """Version of the NVIDIA driver and of its CUDA interface; empty without a device."""
    if not cuda_devices()[0]:
        return ""
    number = ctypes.c_int()
    ctypes.CDLL(CUDA_DRIVER).cuDriverGetVersion(ctypes.byref(number))
    return f"{_management_version()} (CUDA {number.value // 1000}.{number.value % 1000 // 10})"


def _management_version() -> str:
    """From NVIDIA's management library, which is installed with the driver."""
    text = ctypes.create_string_buffer(96)
    try:
        library = ctypes.CDLL(_MANAGEMENT)
    except OSError:
        return f"unknown, without {_MANAGEMENT}"
    if library.nvmlInit_v2():
        return f"unknown, as {_MANAGEMENT} does not start"
    try:
        failed = library.nvmlSystemGetDriverVersion(text, len(text))
    finally:
        library.nvmlShutdown()
    return "unknown" if failed else text.value.decode()
