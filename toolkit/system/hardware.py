"""The CPU of this machine: model, instruction sets, number of usable CPUs; and measured limits of its devices."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from pathlib import Path

import msgspec

# Instruction sets by which runtimes choose their kernels. On Arm, /proc/cpuinfo names the line `Features`.
_FLAGS = (
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_bf16", "amx_int8", "amx_fp16", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve"),
)


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


@cache
def tile_refusal() -> str:
    """Why the kernel does not let this process use the tile registers of AMX; empty if it does. Linux x86-64 only.

    Linux gives them to processes that ask (arch_prctl with ARCH_REQ_XCOMP_PERM), since each thread that uses them needs
    8 KB more memory.
    """
    arch_prctl, request_permission, tile_data = map(ctypes.c_long, (158, 0x1023, 18))
    library = ctypes.CDLL(None, use_errno=True)
    if library.syscall(arch_prctl, request_permission, tile_data) == 0:
        return ""
    return f"permission to use tile registers: the kernel says {os.strerror(ctypes.get_errno())}"


INSTRUCTIONS = "instructions"
"""Key of the instruction sets in an engine's identity."""


def cpu_identity() -> dict[str, str]:
    """What an engine with kernels for this CPU depends on."""
    return {INSTRUCTIONS: " ".join(cpu_model()[1])}


def usable_cpus() -> int:
    """Number of logical CPUs that this process may run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
