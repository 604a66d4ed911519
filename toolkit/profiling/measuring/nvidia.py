"""GPU readings from the NVIDIA Management Library (NVML)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import msgspec

from toolkit.system.extras import how_to_install

_REASONS = "nvmlClocksEventReason", "nvmlClocksThrottleReason"
_HARMLESS = {"GpuIdle", "ApplicationsClocksSetting", "None", "All"}


class GpuReading(msgspec.Struct, frozen=True):
    """The GPU at one moment; None if it does not report a value."""

    megahertz: int | None
    celsius: int | None
    joules: float | None
    """Energy used since the driver was loaded."""
    slowed_by: tuple[str, ...]
    """Reasons for a reduced clock, by their NVML names: SwPowerCap, HwThermalSlowdown, ..."""


class Nvidia:
    """The first GPU visible to CUDA."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle

    @property
    def name(self) -> str:
        return str(self._ask("nvmlDeviceGetName") or "")

    @property
    def driver(self) -> str:
        return str(self._quiet(self._library.nvmlSystemGetDriverVersion) or "")

    def read(self) -> GpuReading:
        """Read clock, temperature, energy and throttle reasons."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        mask = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:
            mask = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return GpuReading(
            megahertz=self._ask("nvmlDeviceGetClockInfo", self._library.NVML_CLOCK_SM),
            celsius=self._ask("nvmlDeviceGetTemperature", self._library.NVML_TEMPERATURE_GPU),
            joules=None if millijoules is None else millijoules / 1000,
            slowed_by=self._reasons(mask or 0),
        )

    def process_bytes(self, pid: int) -> int | None:
        """Device memory of a process in bytes; None if not reported, as in many containers."""
        for process in self._ask("nvmlDeviceGetComputeRunningProcesses") or ():
            if process.pid == pid and process.usedGpuMemory is not None:
                return int(process.usedGpuMemory)
        return None

    def _reasons(self, mask: int) -> tuple[str, ...]:
        """Names of the bits in a throttle mask, without those that are normal operation."""
        found: dict[int, str] = {}
        for attribute in dir(self._library):
            prefix = next((prefix for prefix in _REASONS if attribute.startswith(prefix)), None)
            value = getattr(self._library, attribute)
            if prefix is None or not isinstance(value, int) or not mask & value or value & (value - 1):
                continue
            found.setdefault(value, attribute.removeprefix(prefix).lstrip("s"))
        return tuple(name for name in found.values() if name not in _HARMLESS)

    def _ask(self, function: str, *arguments: Any) -> Any:
        asked = getattr(self._library, function, None)
        return None if asked is None else self._quiet(lambda: asked(self._handle, *arguments))

    def _quiet(self, ask: Callable[[], Any]) -> Any:
        """The result, or None: not every GPU, driver or container supports every query."""
        try:
            return ask()
        except self._library.NVMLError:
            return None


def open_nvidia() -> tuple[Nvidia | None, str]:
    """The GPU and an empty reason, or None and the reason.

    NVML is not shut down afterwards, because other readers in this process may still use it.
    """
    try:
        import pynvml
    except ImportError as error:
        return None, f"{error}; {how_to_install('nvidia')}"
    try:
        pynvml.nvmlInit()
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
        if first.startswith("GPU-"):
            handle = pynvml.nvmlDeviceGetHandleByUUID(first)
        else:
            handle = pynvml.nvmlDeviceGetHandleByIndex(int(first) if first.isdigit() else 0)
    except pynvml.NVMLError as error:
        return None, f"NVML: {error}"
    return Nvidia(pynvml, handle), ""
