"""Each cell against what the machine could do at best (Williams, Waterman and Patterson 2009, the roofline model)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from toolkit.errors import InputError
from toolkit.graph.analysis.work import Work
from toolkit.profiling.measuring.environment import Environment
from toolkit.system.atomic import sha256_of, write_bytes
from toolkit.system.cache import cache_directory
from toolkit.system.hardware import Ceiling

_WAY = 3
"""Of measuring ceilings: goes up when `torch_ceilings` changes, so that what is kept is measured again."""

_TIMEOUT = 180.0


class Roofline(msgspec.Struct, frozen=True):
    """`bound_seconds`: the frame time that the ceiling allows, multiply-adds and least bytes each at their best rate,
    whichever takes longer (`limited_by`). `share`: the bound over the median: 1 is as fast as the machine can be."""

    bound_seconds: float
    share: float
    limited_by: Literal["arithmetic", "memory"]
    precision: str
    device: str


def roofline(work: Work, executed: Mapping[str, int], median: float, ceilings: Sequence[Ceiling]) -> Roofline | None:
    """Of a cell; None without a ceiling for what it ran in.

    Args:
        work: of its graph.
        executed: nodes per precision that ran; the fastest of them that there is a ceiling for counts.
        median: of its frame times, in seconds.
        ceilings: of the device it ran on, at most one.
    """
    for ceiling in ceilings:
        rates = {
            name: ceiling.multiply_adds_per_second[name]
            for name in executed
            if name in ceiling.multiply_adds_per_second
        }
        if not rates:
            return None
        precision = max(rates, key=lambda name: rates[name])
        arithmetic, memory = work.multiply_adds / rates[precision], work.least_bytes / ceiling.bytes_per_second
        bound = max(arithmetic, memory)
        limit: Literal["arithmetic", "memory"] = "arithmetic" if arithmetic >= memory else "memory"
        return Roofline(bound, bound / median, limit, precision, ceiling.device)
    return None


def ceilings(here: Environment, threads: int, cpus: Sequence[int], *, again: bool = False) -> tuple[Ceiling, ...]:
    """Of this machine with so many threads on these processors: measured once and kept in the user's cache.

    Args:
        here: the machine.
        threads, cpus: as cells have them.
        again: measure once more, and keep the better of both: the first time others may have been at work.

    Raises:
        InputError: PyTorch could not measure them.
    """
    path = cache_directory() / f"ceilings-{_key(here, threads, cpus)}.json"
    known = _read(path)
    if known and not again:
        return known
    measured = _measured(threads, cpus)
    best = tuple(_better(new, next((old for old in known if old.device == new.device), new)) for new in measured)
    try:
        write_bytes(path, msgspec.json.encode(best))
    except InputError:
        return best  # a cache that cannot be written is only slower
    return best


def _better(one: Ceiling, other: Ceiling) -> Ceiling:
    rates = {
        name: max(rate, other.multiply_adds_per_second.get(name, 0.0))
        for name, rate in one.multiply_adds_per_second.items()
    }
    return Ceiling(one.device, max(one.bytes_per_second, other.bytes_per_second), rates, one.method)


def _measured(threads: int, cpus: Sequence[int]) -> tuple[Ceiling, ...]:
    command = [sys.executable, "-P", "-m", "toolkit.runtimes.pytorch.ceilings", str(threads), ",".join(map(str, cpus))]
    remedy = "Profile without it: --no-roofline."
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_TIMEOUT)  # noqa: S603
        return msgspec.json.decode(done.stdout, type=tuple[Ceiling, ...])
    except subprocess.TimeoutExpired as error:
        raise InputError(f"the machine's ceilings were not measured within {_TIMEOUT:g} s", remedy) from error
    except (subprocess.CalledProcessError, msgspec.DecodeError) as error:
        words = (
            error.stderr.decode(errors="replace").strip() if isinstance(error, subprocess.CalledProcessError) else ""
        )
        reason = words.splitlines()[-1] if words else str(error)
        raise InputError(f"the machine's ceilings could not be measured: {reason}", remedy) from error


def _read(path: Path) -> tuple[Ceiling, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Ceiling, ...])
    except (OSError, msgspec.DecodeError):
        return ()


def _key(here: Environment, threads: int, cpus: Sequence[int]) -> str:
    of = (
        _WAY,
        here.processor,
        here.processors,
        here.gpu,
        here.gpu_driver,
        here.packages.get("torch"),
        threads,
        list(cpus),
    )
    return sha256_of(repr(of).encode())[:12]
