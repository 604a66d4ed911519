"""NVIDIA devices of this machine, and what engines built for them depend on."""

from __future__ import annotations

import ctypes

from toolkit.errors import Unavailable
from toolkit.runtimes.cuda.driver import Driver

NO_DEVICE_REMEDY = "Run on a machine with an NVIDIA GPU and its driver."
LIBRARIES_REMEDY = "Install the libraries that the message names, or update the NVIDIA driver."

_MANAGEMENT = "libnvidia-ml.so.1"
_AMPERE = 8
"""Major number of the first compute capability for which TensorRT builds hardware-compatible engines."""


def cuda_devices() -> tuple[list[str], str]:
    """Names of the NVIDIA devices, and the driver's reason where there is none. Never raises."""
    try:
        names = Driver().device_names()
    except Unavailable as error:
        return [], str(error)
    return names, "" if names else "the NVIDIA driver sees no device"


def compute_capability() -> str:
    """Compute capability of the first NVIDIA device, for instance `8.6`; empty without one."""
    if not cuda_devices()[0]:
        return ""
    major, minor = Driver().compute_capability()
    return f"{major}.{minor}"


def driver_version() -> str:
    """Version of the NVIDIA driver, and of the CUDA version that it supports; empty without a device."""
    if not cuda_devices()[0]:
        return ""
    major, minor = Driver().cuda_version()
    return f"{_management_version()} (CUDA {major}.{minor})"


def device_identity(*, hardware_compatible: bool = False) -> dict[str, str]:
    """What kernels that were chosen for the first NVIDIA device depend on.

    Args:
        hardware_compatible: kernels run on every device from Ampere on.
    """
    name, capability = (cuda_devices()[0] or ["none"])[0], compute_capability()
    if hardware_compatible and capability and int(capability.partition(".")[0]) >= _AMPERE:
        return {"compute capability": f"{_AMPERE}.0 or later"}
    return {"device": name, "compute capability": capability or "none"}


def device_machine() -> dict[str, str]:
    """Name of the first NVIDIA device, and version of its driver."""
    devices = cuda_devices()[0]
    return {"device": devices[0], "driver": driver_version()} if devices else {"device": "none"}


def _management_version() -> str:
    """Driver version as NVIDIA's management library reports it, which is installed with the driver."""
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
