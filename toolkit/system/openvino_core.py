"""The one OpenVINO core of this process."""

from __future__ import annotations

import functools
from typing import Any


@functools.cache
def openvino_core() -> Any:
    """`openvino.Core`, made once and kept.

    A core gives the thread that makes it a stack for signals and, as it goes, puts back the one it had found. Cores
    that overlap and go in the order they came leave a stack that is no longer there: the next Ctrl-C is then a
    segmentation fault (OpenVINO 2026.4, Linux).
    """
    import openvino

    return openvino.Core()
