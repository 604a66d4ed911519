"""Measures the highest memory bandwidth and arithmetic rates of this machine with PyTorch.

Bandwidth by copies of memory; arithmetic by matrix products, and on a CPU also by convolutions: on some CPUs MKL, which
multiplies float32 matrices, reaches half of the rate that oneDNN's convolutions reach.

`python -m toolkit.runtimes.pytorch.ceilings THREADS [CPU,CPU,...]` prints the result as JSON. It is a separate process
because thread counts and CPU affinity belong to a process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import msgspec
import torch

from toolkit.graph.precision.registry import PRECISIONS, find_precision
from toolkit.precisions import FULL_PRECISION, Precision
from toolkit.runtimes.cuda.devices import cuda_devices
from toolkit.runtimes.pytorch.session import without_tf32
from toolkit.system.hardware import Ceiling

_SIDE = {"cpu": 2048, "cuda": 8192}
_CHANNELS, _EXTENT = 256, 56
_COPIED_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}
_SECONDS = 0.5
_FEWEST = 3
_TRIAL_SIDE, _SLOWEST = 256, 4.0
"""On a CPU a small product first shows how long a large one would take. Where that is more than `_SLOWEST` seconds,
PyTorch has only a reference loop: int8 on CPUs without VNNI is 100 times slower than float32 and takes minutes. That is
not the highest rate of the CPU. Float32 has a kernel on every CPU: a slow product there means that the
machine is busy."""


def measure_ceilings(threads: int) -> list[Ceiling]:
    """The best of repeated runs: of the CPU, and of the first NVIDIA GPU where PyTorch can use it."""
    torch.set_num_threads(threads)
    found = [_ceiling("cpu")]
    if cuda_devices()[0] and torch.cuda.is_available():
        without_tf32()
        found.append(_ceiling("cuda"))
    return found


def _ceiling(device: str) -> Ceiling:
    source = torch.ones(_COPIED_BYTES[device] // 4, device=device)
    target = torch.empty_like(source)
    seconds = _best(lambda: target.copy_(source), device)
    rates: dict[str, float] = {
        found.name: rate for found in PRECISIONS if (rate := _rate(found.name, device)) is not None
    }
    method = f"torch {torch.__version__}: copy_ of {_COPIED_BYTES[device] >> 20} MiB, products of side {_SIDE[device]}"
    if device == "cpu":
        method += f", 3x3 convolutions of {_CHANNELS} channels, {_EXTENT}x{_EXTENT}"
    return Ceiling(device, 2 * _COPIED_BYTES[device] / seconds, rates, method)


def _rate(precision: Precision, device: str) -> float | None:
    """Multiply-adds per second; None where the device, or PyTorch on it, has no such arithmetic."""
    facts = find_precision(precision)
    if device == "cpu" and not facts.cpu_computes():
        return None
    side = _SIDE[device]
    multiply = _product(precision, side, device)
    try:
        if (
            device == "cpu"
            and precision != FULL_PRECISION
            and _best(_product(precision, _TRIAL_SIDE, device), device) > _SLOWEST / (side / _TRIAL_SIDE) ** 3
        ):
            return None
        multiply()
    except RuntimeError:  # PyTorch has no kernel for it
        return None
    rate = side**3 / _best(multiply, device)
    convolves = device == "cpu" and facts.floating
    return max(rate, _convolution_rate(getattr(torch, facts.storage))) if convolves else rate


def _product(precision: Precision, side: int, device: str) -> Callable[[], object]:
    """A product of two square matrices."""
    facts = find_precision(precision)
    dtype: torch.dtype = getattr(torch, facts.storage)
    if not facts.floating:
        given = torch.randint(-127, 127, (side, side), dtype=dtype, device=device)
        return lambda: torch._int_mm(given, given)
    factor = torch.randn(side, side, device=device).to(dtype)
    return lambda: factor @ factor


def _convolution_rate(dtype: torch.dtype) -> float:
    """Multiply-adds per second of a 3x3 convolution on the CPU."""
    image = torch.randn(1, _CHANNELS, _EXTENT, _EXTENT).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(_CHANNELS, _CHANNELS, 3, 3).to(dtype, memory_format=torch.channels_last)
    with torch.inference_mode():
        seconds = _best(lambda: torch.nn.functional.conv2d(image, weight, padding=1), "cpu")
    return _CHANNELS**2 * 9 * _EXTENT**2 / seconds


def _best(work: Callable[[], object], device: str) -> float:
    """Shortest time in seconds of some repetitions."""
    work()
    seconds: list[float] = []
    while len(seconds) < _FEWEST or sum(seconds) < _SECONDS:
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def main() -> None:
    """Print the ceilings as JSON."""
    threads, cpus = int(sys.argv[1]), [int(cpu) for cpu in sys.argv[2].split(",") if cpu]
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    print(msgspec.json.encode(measure_ceilings(threads)).decode())


if __name__ == "__main__":
    main()
