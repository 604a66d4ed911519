"""The OpenVINO core of this process, of which there is only one."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def openvino_core() -> Any:
    """`openvino.Core`, created once and kept.

    A core installs an alternate signal stack (sigaltstack) in the thread that creates it, and restores the previous one
    when it is destroyed. Two cores that are destroyed in the order in which they were created leave a stack that has
    been freed, and the next Ctrl-C is a segmentation fault (OpenVINO 2026.4, Linux).
    """
    import openvino

    return openvino.Core()
