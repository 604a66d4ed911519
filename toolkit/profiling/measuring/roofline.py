"""Roofline model: measured frame time relative to the best this machine allows (Williams, Waterman, Patterson 2009).

Two ceilings bound a frame: multiply-adds at the machine's peak rate, and bytes at its memory bandwidth. The slower of
the two is the shortest possible frame time. Ceilings are measured once per machine and cached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.graph.analysis.work import Work, count_work
from toolkit.profiling.measuring.environment import Environment
from toolkit.runtimes.registry import find_runtime
from toolkit.system.atomic import sha256_of, write_bytes
from toolkit.system.cache import cache_directory
from toolkit.system.documents import MalformedDocument, from_json
from toolkit.system.hardware import Ceiling
from toolkit.system.isolated import run_isolated
from toolkit.workloads import Shape

_METHOD_VERSION = 4
"""Incremented when the measurement of ceilings changes, so that cached ones are measured again."""

_TIMEOUT = 180.0

_NOTICE = (
    "measuring memory bandwidth and peak arithmetic rates for the roofline: once per machine, up to a minute "
    "(--no-roofline skips it)"
)
_NOTICE_AGAIN = "measuring the roofline again: a configuration was faster than the rates measured earlier allow"


class Roofline(msgspec.Struct, frozen=True):
    """A cell relative to the roofline.

    `bound_seconds` is the shortest frame time that the ceilings allow: all multiply-adds at the peak rate, or the
    minimum number of bytes at memory bandwidth, whichever takes longer (`limited_by`). `share` is that bound divided by
    the measured median: 1 is as fast as this machine can be.
    """

    bound_seconds: float
    share: float
    limited_by: Literal["arithmetic", "memory"]
    precision: str
    device: str


def work_of(runtime: str, artifact: Artifact, shape: Shape) -> Work:
    """Work of a runtime for a frame of `shape`: that of the graph, and which of it the runtime avoids.

    Raises:
        InputError: the graph's shapes cannot be inferred.
    """
    avoided = find_runtime(runtime).avoided_multiply_adds(artifact, shape)
    return msgspec.structs.replace(count_work(artifact, shape), avoided=avoided)


def roofline(work: Work, executed: Mapping[str, int], median: float, ceilings: Sequence[Ceiling]) -> Roofline | None:
    """Compare a cell with the roofline; None without a ceiling for any precision it ran in.

    Args:
        work: multiply-adds and bytes of its graph, and which of the former its runtime avoids.
        executed: number of nodes per executed precision. The fastest precision with a ceiling is used, so that the
            bound holds whichever nodes it was used for.
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
        arithmetic, memory = work.executed / rates[precision], work.least_bytes / ceiling.bytes_per_second
        bound = max(arithmetic, memory)
        limit: Literal["arithmetic", "memory"] = "arithmetic" if arithmetic >= memory else "memory"
        return Roofline(bound, bound / median, limit, precision, ceiling.device)
    return None


def ceilings(
    here: Environment,
    threads: int,
    cpus: Sequence[int],
    *,
    again: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> tuple[Ceiling, ...]:
    """Ceilings of this machine for a number of threads on these CPUs: measured once and kept in the user's cache.

    Args:
        here: the machine.
        threads, cpus: the same as for the measured cells.
        again: measure again and keep the higher rates: other processes may have slowed down the first measurement.
        notify: called with a line of text before a measurement, which takes up to a minute; not called if the cache
            has the ceilings.

    Raises:
        InputError: PyTorch could not measure them.
    """
    path = cache_directory() / f"ceilings-{_key(here, threads, cpus)}.json"
    known = _read(path)
    if known and not again:
        return known
    notify(_NOTICE_AGAIN if known else _NOTICE)
    measured = _measured(threads, cpus)
    best = tuple(_better(new, next((old for old in known if old.device == new.device), new)) for new in measured)
    try:
        write_bytes(path, msgspec.json.encode(best))
    except InputError:
        return best  # without a cache they are measured again next time
    return best


def _better(one: Ceiling, other: Ceiling) -> Ceiling:
    rates = {
        name: max(rate, other.multiply_adds_per_second.get(name, 0.0))
        for name, rate in one.multiply_adds_per_second.items()
    }
    return Ceiling(one.device, max(one.bytes_per_second, other.bytes_per_second), rates, one.method)


def _measured(threads: int, cpus: Sequence[int]) -> tuple[Ceiling, ...]:
    arguments = ["-m", "toolkit.runtimes.pytorch.ceilings", str(threads), ",".join(map(str, cpus))]
    remedy = "Profile without a roofline: --no-roofline."
    ended = run_isolated(arguments, seconds=_TIMEOUT)
    if ended.end == "late":
        raise InputError(f"the roofline of this machine was not measured within {_TIMEOUT:g} s", remedy)
    if ended.end != "done":
        raise InputError(f"the roofline of this machine could not be measured: {ended.reason}", remedy)
    try:
        return from_json(ended.output, tuple[Ceiling, ...])
    except MalformedDocument as error:
        raise InputError(f"the roofline of this machine could not be measured: {error}", remedy) from error


def _read(path: Path) -> tuple[Ceiling, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Ceiling, ...])
    except (OSError, msgspec.DecodeError):
        return ()


def _key(here: Environment, threads: int, cpus: Sequence[int]) -> str:
    of = (
        _METHOD_VERSION,
        here.processor,
        here.processors,
        here.gpu,
        here.gpu_driver,
        here.packages.get("torch"),
        threads,
        list(cpus),
    )
    return sha256_of(repr(of).encode())[:12]
