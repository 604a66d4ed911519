"""Questions that may crash who asks them, asked in a process of their own."""

from __future__ import annotations

import functools
import signal
import subprocess
import sys

from toolkit.runtimes.protocol import Availability

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
    try:
        done = subprocess.run(  # noqa: S603  (code of ours)
            [sys.executable, "-c", code], input=given, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return Availability(False, f"it did not answer within {seconds:g} s", remedy)
    if done.returncode < 0:
        return Availability(False, f"it crashes as it starts ({_signal_name(-done.returncode)})", remedy)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it gave no reason"]
        return Availability(False, f"it does not start: {lines[-1]}", remedy)
    return Availability(True, version=done.stdout.decode(errors="replace").strip())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
