"""Questions that may crash who asks them, asked in a process of their own."""

from __future__ import annotations

import functools

from toolkit.runtimes.protocol import Availability
from toolkit.system.isolated import run_isolated

DRIVER_REMEDY = "Install the libraries that it names, or update the NVIDIA driver."

_SECONDS = 120
"""More than a cold start of CUDA's libraries from a slow disk takes."""


@functools.cache
def ask(code: str, remedy: str, given: bytes = b"", seconds: float = _SECONDS) -> Availability:
    """Run Python code in a process of its own: available if it ends well, and then what it prints is the version.

    The answer is remembered, as nothing about it changes while this process runs.

    Args:
        code: complains through an exception, whose message becomes the reason, or by crashing.
        remedy: what helps where it fails.
        given: to read from standard input.
        seconds: how long it may take.
    """
    ended = run_isolated(["-c", code], given, seconds=seconds)
    if ended.end == "done":
        return Availability(True, version=ended.output.strip())
    reasons = {"crashed": f"it crashes as it starts ({ended.reason})", "failed": f"it does not start: {ended.reason}"}
    return Availability(False, reasons.get(ended.end, ended.reason), remedy)
