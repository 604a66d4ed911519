"""What the NVIDIA driver may answer where there is no GPU to use."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.runtimes.cuda import devices as nvidia
from toolkit.runtimes.registry import RUNTIMES


def no_device(count: Any) -> int:
    count._obj.value = 0
    return 0


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (SimpleNamespace(cuInit=lambda flags: 100), "cuInit fails with code 100"),
        (SimpleNamespace(cuInit=lambda flags: 0, cuDeviceGetCount=no_device), "sees no device"),
    ],
)
def test_a_driver_without_a_device(driver: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else of it is called: the stand-ins have nothing else."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    devices, found = nvidia.cuda_devices()
    assert devices == []
    assert reason in found
    assert nvidia.compute_capability() == nvidia.driver_version() == ""
    for name in ("torch-cuda", "ort-cuda", "ort-tensorrt", "tensorrt", "tensorrt-rtx"):
        available = RUNTIMES[name].probe()
        assert not available.ok
        assert reason in available.reason
