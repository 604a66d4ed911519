"""Options of a profile, and their validation on this machine."""

from __future__ import annotations

import math

import msgspec

from toolkit.errors import InputError
from toolkit.profiling.measuring.environment import available_cpus, choose_cpus
from toolkit.profiling.measuring.messages import Boundary
from toolkit.runtimes.options import check_threads
from toolkit.system.hardware import usable_cpus

_MOST_STREAMS = 64
_MOST_BUILDS = 64


class ProfileOptions(msgspec.Struct, frozen=True):
    """How configurations are measured. In a report, `threads` and `cpus` are the values that were used.

    Attributes:
        duration: seconds of frames per configuration; longer if five frames take longer.
        threads: CPU threads per configuration; 0 uses all CPUs available to this process.
        cpus: CPUs to run on; default: as many as there are threads, one per core first.
        boundary: what a frame time includes: `compute`, `host` or `image`; see `Boundary`.
        timing_precision: end a configuration early if the 95 % interval of its median is narrower than this share.
        cell_timeout: seconds after which a configuration that does not reply is ended.
        streams: also measure the throughput of this many concurrent sessions, which share the threads.
        per_layer: also measure the time of each layer, with the runtime's own profiler.
        builds: also build this many engines of each artifact, if the runtime builds any, and measure how they differ.
        roofline: compare with the machine's peak rates, which are measured once per machine.

    Example:
        >>> options = toolkit.ProfileOptions(duration=0.1, threads=1, roofline=False)
    """

    duration: float = 5.0
    threads: int = 0
    cpus: tuple[int, ...] = ()
    boundary: Boundary = "host"
    timing_precision: float = 0.02
    cell_timeout: float = 300.0
    streams: int = 1
    per_layer: bool = False
    builds: int = 1
    roofline: bool = True


def resolve_options(given: ProfileOptions) -> ProfileOptions:
    """Validate options, and replace the defaults of `threads` and `cpus` by the values for this machine.

    Raises:
        InputError: a value is out of range, or a CPU is not available to this process.
    """
    if not 0 < given.duration < math.inf:
        raise InputError(f"duration {given.duration} must be a positive number of seconds")
    check_threads(given.threads)
    if not 0 < given.timing_precision < 1:
        raise InputError(f"precision of timing {given.timing_precision} must be between 0 and 1, for example 0.02")
    if not 0 < given.cell_timeout < math.inf:
        raise InputError(f"cell timeout {given.cell_timeout} must be a positive number of seconds")
    if not 1 <= given.streams <= _MOST_STREAMS:
        raise InputError(f"streams {given.streams} must be 1 to {_MOST_STREAMS}")
    if not 1 <= given.builds <= _MOST_BUILDS:
        raise InputError(f"builds {given.builds} must be 1 to {_MOST_BUILDS}")
    usable = available_cpus()
    if usable and (wrong := set(given.cpus) - set(usable)):
        raise InputError(f"CPU {min(wrong)} is not available to this process", f"Choose from {usable}.")
    threads = given.threads or len(given.cpus) or usable_cpus()
    return msgspec.structs.replace(given, threads=threads, cpus=given.cpus or choose_cpus(threads))
