"""Compilation targets: CPU instruction set levels that engines are compiled for."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolkit.errors import InputError
from toolkit.system.hardware import instruction_sets, tile_refusal


@dataclass(frozen=True)
class Target:
    """An instruction set level.

    Attributes:
        name: its name on the command line.
        machine: `platform.machine()` of such CPUs; empty: any.
        flags: flags of /proc/cpuinfo that a CPU must have.
        options: compiler options.
        header: file name of its SIMD layer.
        block: output channels of a register tile. Each takes two vector registers for sums; the largest number that
            leaves registers for pixels and a weight.
        fast: precisions with dot-product instructions, besides float32.
        tiles: file name of its tile operations, which compute bf16 and int8 convolutions; empty: it has none.
    """

    name: str
    machine: str
    flags: frozenset[str]
    options: tuple[str, ...]
    header: str
    block: int
    fast: frozenset[str] = frozenset()
    tiles: str = ""

    def computes_like(self, other: Target, precision: str) -> bool:
        """Whether an artifact of this precision is computed by the same instructions for both targets."""
        if self.header != other.header or (precision in self.fast) != (precision in other.fast):
            return False
        return self.tiles == other.tiles or precision not in self.fast


_V3 = frozenset({"avx2", "fma"})
_V4 = _V3 | {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_V4_BF16 = _V4 | {"avx512_vnni", "avx512_bf16"}
_V4_BF16_OPTIONS = ("-march=x86-64-v4", "-mavx512vnni", "-mavx512bf16")
TILE_FLAGS = frozenset({"amx_tile", "amx_bf16", "amx_int8"})

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            "x86-64-amx",
            "x86_64",
            _V4_BF16 | TILE_FLAGS,
            (*_V4_BF16_OPTIONS, "-mprfchw", "-mamx-tile", "-mamx-bf16", "-mamx-int8"),
            "simd_avx512.h",
            12,
            frozenset({"bf16", "int8"}),
            "tiles_amx.h",
        ),
        Target(
            "x86-64-v4-bf16",
            "x86_64",
            _V4_BF16,
            _V4_BF16_OPTIONS,
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
"""From the fastest to the slowest. `scalar` runs on every CPU and is the reference for the others."""

NATIVE = "native"

LIBRARY = "engine.so"
"""The shared object of a bundle that programs load."""


def is_this_machine(machine: str) -> bool:
    """Whether a machine type, as `platform.machine()` says it, is that of this machine; empty stands for any."""
    return machine in ("", platform.machine())


def find_target(name: str) -> Target:
    """A target by name; `native` is the fastest one that this machine supports.

    Raises:
        InputError: the target is unknown.
    """
    if name == NATIVE:
        return next(target for target in TARGETS.values() if not missing(target))
    if name not in TARGETS:
        raise InputError(f"there is no target {name!r}", f"Choose from {', '.join([NATIVE, *TARGETS])}.")
    return TARGETS[name]


def missing(target: Target) -> str:
    """Why this machine cannot run code for a target; empty if it can."""
    if not is_this_machine(target.machine):
        return f"this CPU is {platform.machine()}, not {target.machine}"
    if lacking := target.flags - instruction_sets():
        return ", ".join(sorted(lacking))
    return tile_refusal() if target.flags >= TILE_FLAGS else ""


def find_targets(names: Iterable[str]) -> tuple[Target, ...]:
    """Targets by name, each once, the fastest first.

    Raises:
        InputError: one of them is unknown.
    """
    chosen = {find_target(name).name for name in names}
    return tuple(target for target in TARGETS.values() if target.name in chosen)


def library_files(symbol: str, targets: Sequence[Target]) -> dict[str, str]:
    """The file of each target in a bundle of these, by target name. `symbol` is the prefix of its C functions."""
    if len(targets) == 1:
        return {targets[0].name: LIBRARY}
    return {target.name: f"{symbol}.{target.name}.so" for target in targets}


def linked_files(symbol: str, targets: Sequence[Target]) -> dict[str, str]:
    """The file that programs are linked with, by `platform.machine()`, that of the first target first.

    Its name differs from that of other bundles: a linker takes libraries of one name for the same library.
    """
    files, first = library_files(symbol, targets), targets[0].machine or platform.machine()
    others = {target.machine: files[target.name] for target in reversed(targets) if target.machine}
    return {first: f"lib{symbol}.so"} | {machine: file for machine, file in others.items() if machine != first}
