"""What this machine is, asked without touching anything that might not be there."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec

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
