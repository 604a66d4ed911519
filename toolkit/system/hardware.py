"""What this machine is, asked without touching anything that might not be there."""

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

# What decides which kernels runtimes choose on x86; on Arm /proc/cpuinfo calls the line Features.
_FLAGS = (
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_bf16", "amx_int8", "amx_fp16", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve"),
)
_ARITHMETIC = {
    "fp16": {"avx512_fp16", "amx_fp16", "asimdhp"},
    "bf16": {"avx512_bf16", "amx_bf16", "bf16"},
}


class Ceiling(msgspec.Struct, frozen=True):
    """Of one device, `cpu` or `cuda`: bytes read and written in a second by a copy of memory, and multiply-adds in a
    second of a large matrix product, by precision: those that the device computes in. `method` says how measured."""

    device: str
    bytes_per_second: float
    multiply_adds_per_second: dict[str, float]
    method: str


def processor() -> tuple[str, tuple[str, ...]]:
    """Model name, and those instruction set extensions that matter to runtimes."""
    fields = _cpuinfo()
    if not fields:
        return platform.processor() or platform.machine(), ()
    present = instruction_sets()
    return fields.get("model name", platform.machine()), tuple(flag for flag in _FLAGS if flag in present)


def instruction_sets() -> frozenset[str]:
    """All instruction set extensions that the system tells of, by their names in /proc/cpuinfo."""
    fields = _cpuinfo()
    return frozenset(fields.get("flags", fields.get("Features", "")).split())


def _cpuinfo() -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor; nothing where there is none."""
    path = Path("/proc/cpuinfo")
    fields: dict[str, str] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


INSTRUCTIONS = "instructions"
"""How the extensions are called in an engine's identity."""


def processor_identity() -> dict[str, str]:
    """What kernels that were chosen for this processor depend on."""
    return {INSTRUCTIONS: " ".join(processor()[1])}


def computes_in(precision: str) -> bool:
    """Whether the processor computes in fp16 or bf16, rather than only converting to and from it."""
    return not _ARITHMETIC[precision].isdisjoint(processor()[1])


def usable_processors() -> int:
    """Processors this process may run on (not all that the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cuda_devices() -> tuple[list[str], str]:
    """Names of NVIDIA devices, and why there are none, as the driver's own library says."""
    try:
        driver = ctypes.CDLL(CUDA_DRIVER)
    except OSError:
        return [], f"there is no NVIDIA driver ({CUDA_DRIVER})"
    if code := driver.cuInit(0):
        return [], f"the NVIDIA driver is there, but cuInit fails with code {code}"
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
    """What kernels that were chosen for the first NVIDIA device depend on; or, compatible, for any from Ampere on."""
    name, capability = (cuda_devices()[0] or ["none"])[0], compute_capability()
    if hardware_compatible and capability and int(capability.split(".")[0]) >= _AMPERE:
        return {"compute capability": f"{_AMPERE}.0 or later"}
    return {"device": name, "compute capability": capability or "none"}


def device_machine() -> dict[str, str]:
    """The NVIDIA device and its driver."""
    devices = cuda_devices()[0]
    return {"device": devices[0], "driver": driver_version()} if devices else {"device": "none"}


def compute_capability() -> str:
    """Of the first NVIDIA device, for instance `8.6`; empty without one."""
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
    """Of the NVIDIA driver, and of the CUDA version that comes with it; empty without a device."""
    if not cuda_devices()[0]:
        return ""
    number = ctypes.c_int()
    ctypes.CDLL(CUDA_DRIVER).cuDriverGetVersion(ctypes.byref(number))
    return f"{_management_version()} (CUDA {number.value // 1000}.{number.value % 1000 // 10})"


def _management_version() -> str:
    """As NVIDIA's management library tells it, which is installed with the driver."""
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
