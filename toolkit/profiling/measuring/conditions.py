"""Machine conditions while a cell was measured: other load, steal time, clocks, throttling, energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from toolkit.profiling.measuring.nvidia import GpuReading, Nvidia

_POWERCAP = Path("/sys/class/powercap")
_CGROUP = Path("/sys/fs/cgroup")
_BUSY = ("user", "nice", "system", "irq", "softirq")


class Range(msgspec.Struct, frozen=True):
    """Smallest and largest reading of a sensor."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range | None:
        return cls(min(values), max(values)) if values else None


class Conditions(msgspec.Struct, frozen=True):
    """Conditions over all blocks of a cell; None if the machine does not report a value.

    `steal_share` is the share of total CPU time that the hypervisor gave to other guests (steal), `foreign_share` the
    share that other processes used, `load` the range of the one-minute load average. `slowed_by` are NVML's reasons for
    a reduced GPU clock. Energy is in joules per frame, for the CPU packages (RAPL) and for the GPU (NVML).
    """

    steal_share: float | None = None
    foreign_share: float | None = None
    load: Range | None = None
    megahertz: Range | None = None
    gpu_megahertz: Range | None = None
    gpu_celsius: Range | None = None
    slowed_by: tuple[str, ...] = ()
    processor_joules: float | None = None
    gpu_joules: float | None = None


@dataclass(frozen=True)
class Reading:
    """The machine at one moment. Times are seconds since boot, summed over all CPUs."""

    busy: float
    stolen: float
    total: float
    load: float
    megahertz: float | None
    joules: float | None
    gpu: GpuReading | None


class Meter:
    """Reads sensors and counters of this machine."""

    def __init__(self, nvidia: Nvidia | None) -> None:
        self._nvidia = nvidia
        self._rapl = _readable_packages()

    def read(self) -> Reading:
        times = psutil.cpu_times()._asdict()
        busy, stolen = sum(times.get(name, 0.0) for name in _BUSY), times.get("steal", 0.0)
        return Reading(
            busy=busy,
            stolen=stolen,
            total=busy + stolen + times["idle"] + times.get("iowait", 0.0),
            load=psutil.getloadavg()[0],
            megahertz=_megahertz(),
            joules=sum(int((path / "energy_uj").read_text()) for path in self._rapl) / 1e6 if self._rapl else None,
            gpu=self._nvidia.read() if self._nvidia else None,
        )


@dataclass
class Ledger:
    """Sums over the blocks of one cell."""

    busy: float = 0.0
    stolen: float = 0.0
    total: float = 0.0
    own: float = 0.0
    frames: int = 0
    joules: list[float] = field(default_factory=list)
    gpu_joules: list[float] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)

    def add(self, before: Reading, after: Reading, own: float, frames: int) -> None:
        """Add a block: readings before and after it, CPU seconds used by the cell itself, and number of frames."""
        self.busy += after.busy - before.busy
        self.stolen += after.stolen - before.stolen
        self.total += after.total - before.total
        self.own += own
        self.frames += frames
        # A counter that wrapped around decreases. Leaving that block out keeps the mean per frame correct.
        if before.joules is not None and after.joules is not None and after.joules >= before.joules:
            self.joules.append((after.joules - before.joules) / frames)
        was = None if before.gpu is None else before.gpu.joules
        now = None if after.gpu is None else after.gpu.joules
        if was is not None and now is not None and now >= was:
            self.gpu_joules.append((now - was) / frames)
        self.readings += [before, after]

    def conditions(self) -> Conditions:
        """The sums as shares, ranges and joules per frame."""
        gpus = [reading.gpu for reading in self.readings if reading.gpu is not None]
        known = self.total > 0
        return Conditions(
            steal_share=self.stolen / self.total if known else None,
            # Counters have a resolution of 10 ms: the difference may be slightly negative.
            foreign_share=max(self.busy - self.own, 0.0) / self.total if known else None,
            load=Range.of([reading.load for reading in self.readings]),
            megahertz=Range.of([reading.megahertz for reading in self.readings if reading.megahertz]),
            gpu_megahertz=Range.of([gpu.megahertz for gpu in gpus if gpu.megahertz is not None]),
            gpu_celsius=Range.of([gpu.celsius for gpu in gpus if gpu.celsius is not None]),
            slowed_by=tuple(dict.fromkeys(reason for gpu in gpus for reason in gpu.slowed_by)),
            processor_joules=_mean(self.joules),
            gpu_joules=_mean(self.gpu_joules),
        )


def available_bytes() -> int:
    """Available memory of the machine, or of this process's control group if that is less."""
    available = psutil.virtual_memory().available
    try:
        limit, used = ((_CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return available if limit == "max" else min(available, int(limit) - int(used))
    except (OSError, ValueError):
        return available


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _megahertz() -> float | None:
    """Mean clock of all CPUs, in MHz."""
    try:
        found = psutil.cpu_freq()
    except (OSError, NotImplementedError):
        return None
    return found.current if found and found.current else None


def _readable_packages() -> list[Path]:
    """RAPL domains of CPU packages that this user may read."""
    packages = []
    for path in sorted(_POWERCAP.glob("intel-rapl:*")):
        try:
            if (path / "name").read_text().startswith("package"):
                int((path / "energy_uj").read_text())
                packages.append(path)
        except (OSError, ValueError):
            continue
    return packages
