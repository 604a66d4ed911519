"""Processors that engines are compiled for."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from toolkit.errors import InputError
from toolkit.system.hardware import instruction_sets


@dataclass(frozen=True)
class Target:
    """A level of instructions.

    Attributes:
        name: as on the command line.
        machine: what `platform.machine` calls such processors; empty: any.
        flags: of /proc/cpuinfo that a processor must have.
        options: for the compiler.
        header: the SIMD layer.
        block: output channels of a register tile, two vectors each: as many sums as registers hold beside operands.
        fast: precisions it has instructions for, beside float32.
    """

    name: str
    machine: str
    flags: frozenset[str]
    options: tuple[str, ...]
    header: str
    block: int
    fast: frozenset[str] = frozenset()


_V3 = frozenset({"avx2", "fma"})
_V4 = _V3 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            "x86-64-v4-bf16",
            "x86_64",
            _V4 | {"avx512_vnni", "avx512_bf16"},
            ("-march=x86-64-v4", "-mavx512vnni", "-mavx512bf16"),
            "simd_avx512.h",
            12,
            frozenset({"bf16", "int8"}),
        ),
        Target(
            "x86-64-v4-vnni",
            "x86_64",
            _V4 | {"avx512_vnni"},
            ("-march=x86-64-v4", "-mavx512vnni"),
            "simd_avx512.h",
            12,
            frozenset({"int8"}),
        ),
        Target("x86-64-v4", "x86_64", _V4, ("-march=x86-64-v4",), "simd_avx512.h", 12),
        Target("x86-64-v3", "x86_64", _V3, ("-march=x86-64-v3",), "simd_avx2.h", 6),
        Target("aarch64", "aarch64", frozenset({"asimd"}), ("-march=armv8-a",), "simd_neon.h", 10),
        Target("scalar", "", frozenset(), (), "simd_scalar.h", 6),
    )
}
"""The fastest first. `scalar` runs anywhere and is the reference for the others."""

NATIVE = "native"


def find_target(name: str) -> Target:
    """A target by name; `native` is the fastest that this machine runs.

    Raises:
        InputError: there is no such target.
    """
    if name == NATIVE:
        return next(target for target in TARGETS.values() if not missing(target))
    if name not in TARGETS:
        raise InputError(f"there is no target {name!r}", f"Choose from {', '.join([NATIVE, *TARGETS])}.")
    return TARGETS[name]


def missing(target: Target) -> str:
    """What this machine lacks to run code for a target; empty when it runs it."""
    machine, present = platform.machine(), instruction_sets()
    if target.machine not in ("", machine):
        return f"this processor is {machine}, not {target.machine}"
    return ", ".join(sorted(target.flags - present))
