"""Conditions of a machine, read from stand-ins, and the warnings of a report."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest
from profile_reports import HERE, SETTINGS, cell

from toolkit.profiling.measuring.conditions import Conditions, Ledger, Meter, Range, Reading
from toolkit.profiling.measuring.environment import available_cpus, choose_cpus
from toolkit.profiling.measuring.nvidia import GpuReading, open_nvidia
from toolkit.profiling.measuring.schedule import Block
from toolkit.profiling.reporting.report import WarmUp
from toolkit.profiling.reporting.warnings import measurement_warnings


def reading(time: float, *, busy: float, stolen: float = 0, joules: float | None = None, gpu: Any = None) -> Reading:
    return Reading(busy, stolen, time, 0.5, 2000 + time, joules, gpu)


def test_blocks_add_up() -> None:
    """Two processors for 10 s: busy for 12 processor seconds, of which the cell used 8; 1 was stolen."""
    gpu = [GpuReading(1000, 50, joules, reasons) for joules, reasons in ((1.0, ()), (7.0, ("SwPowerCap",)))]
    ledger = Ledger()
    after = reading(10, busy=6, stolen=1, joules=25.0, gpu=gpu[1])
    ledger.add(reading(0, busy=0, joules=5.0, gpu=gpu[0]), after, 4, 10)
    ledger.add(reading(10, busy=6, stolen=1, joules=9e9), reading(20, busy=12, stolen=1, joules=1.0), 4, 10)
    found = ledger.conditions()
    assert (found.steal_share, found.foreign_share) == (pytest.approx(1 / 20), pytest.approx(4 / 20))
    assert found.megahertz == Range(2000, 2020)
    # The counter that ran over is left out.
    assert found.processor_joules == pytest.approx(2.0)
    assert (found.gpu_joules, found.slowed_by) == (pytest.approx(0.6), ("SwPowerCap",))


def test_this_machine_is_read() -> None:
    before, after = Meter(None).read(), Meter(None).read()
    assert 0 < before.total <= after.total
    assert 0 < before.busy <= before.total
    assert before.gpu is None


class NvmlError(Exception):
    pass


def fake_nvml() -> ModuleType:
    """A GPU that is slowed down by its power cap, and does not tell its temperature."""

    def refuse(*_: object) -> None:
        raise NvmlError("not supported")

    made = ModuleType("pynvml")
    made.__dict__.update(
        NVMLError=NvmlError,
        NVML_CLOCK_SM=1,
        NVML_TEMPERATURE_GPU=0,
        nvmlClocksEventReasonGpuIdle=1,
        nvmlClocksEventReasonSwPowerCap=4,
        nvmlClocksThrottleReasonSwPowerCap=4,
        nvmlClocksEventReasonAll=7,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda index: f"gpu{index}",
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetName=lambda handle: handle,
        nvmlSystemGetDriverVersion=lambda: "600.1",
        nvmlDeviceGetTotalEnergyConsumption=lambda _: 2500,
        nvmlDeviceGetCurrentClocksEventReasons=lambda _: 5,
        nvmlDeviceGetClockInfo=lambda _, kind: 1700 + kind,
        nvmlDeviceGetTemperature=refuse,
        nvmlDeviceGetComputeRunningProcesses=lambda _: [SimpleNamespace(pid=7, usedGpuMemory=123)],
    )
    return made


def test_an_nvidia_gpu_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    nvidia, reason = open_nvidia()
    assert nvidia is not None
    assert not reason
    assert (nvidia.name, nvidia.driver) == ("gpu2", "600.1")
    assert nvidia.read() == GpuReading(1701, None, 2.5, ("SwPowerCap",))
    assert (nvidia.process_bytes(7), nvidia.process_bytes(8)) == (123, None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-abc")
    assert open_nvidia()[0].name == "GPU-abc"  # type: ignore[union-attr]


def test_without_a_gpu_or_its_package_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = fake_nvml()
    broken.nvmlInit = lambda: (_ for _ in ()).throw(NvmlError("Driver Not Loaded"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    assert open_nvidia() == (None, "NVML: Driver Not Loaded")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    nvidia, reason = open_nvidia()
    assert nvidia is None
    assert 'pip install ".[nvidia]"' in reason


def test_cpus_are_chosen_from_those_that_may_be_used() -> None:
    every = choose_cpus(10_000)
    assert len(every) >= 1
    assert every == available_cpus()
    assert choose_cpus(1)[0] in every


QUIET = cell("ort-cpu", 0.5, noise=0.001, shake=0.001)


def test_a_quiet_machine_gives_no_warnings() -> None:
    assert measurement_warnings(HERE, SETTINGS, [QUIET]) == ()


@pytest.mark.parametrize(
    ("here", "changes", "words"),
    [
        ({"load": 3.0}, {}, "busy before the measurement: load average 3.0"),
        ({"governor": "powersave"}, {}, "governor is powersave"),
        ({}, {"conditions": Conditions(steal_share=0.03)}, "took up to 3%"),
        ({}, {"conditions": Conditions(foreign_share=0.2)}, "other processes used up to 20%"),
        ({}, {"conditions": Conditions(megahertz=Range(1200, 3000))}, "CPU clock varied from 1200 to 3000 MHz"),
        ({}, {"conditions": Conditions(slowed_by=("HwSlowdown",))}, "GPU clock was throttled: HwSlowdown"),
        ({}, {"warm_up": WarmUp(9, 1.0, False)}, "not steady after warm-up: 1080p-4k rt4ksr_x2_fp32 on ort-cpu"),
        (
            {},
            {"blocks": tuple(Block(n, tuple(s * (1 + n / 50) for s in QUIET.times[n])) for n in range(10))},
            "drifted between the first and last third of their frames; worst: 1080p-4k rt4ksr_x2_fp32 on ort-cpu, +1",
        ),
        (
            {},
            {"statistics": cell("ort-cpu", 0.5, shake=0.2).statistics},
            "medians have a 95 % interval wider than 2.0%",
        ),
    ],
)
def test_a_report_warns_by_itself(here: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    lines = measurement_warnings(
        msgspec.structs.replace(HERE, **here), SETTINGS, [msgspec.structs.replace(QUIET, **changes)]
    )
    assert len(lines) == 1
    assert words in lines[0]
