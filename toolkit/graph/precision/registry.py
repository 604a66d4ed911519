"""All precisions, and which options apply to which of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from toolkit.errors import InputError
from toolkit.graph.precision.base import PrecisionFormat, TargetPrecision
from toolkit.graph.precision.bfloat16 import BFloat16
from toolkit.graph.precision.float16 import Float16
from toolkit.graph.precision.float32 import Float32
from toolkit.graph.precision.int8 import Int8
from toolkit.graph.precision.options import DEFAULTS, ConvertOptions
from toolkit.precisions import Precision

TARGETS: tuple[TargetPrecision, ...] = (Float16(), BFloat16(), Int8())
"""Those that an fp32 artifact can be converted to."""

PRECISIONS: tuple[PrecisionFormat, ...] = (Float32(), *TARGETS)

_BY_NAME = {found.name: found for found in PRECISIONS}
_TARGETS = {found.name: found for found in TARGETS}
_BY_RUNTIME_NAME = {alias: found.name for found in PRECISIONS for alias in found.runtime_names}


def find_precision(name: Precision) -> PrecisionFormat:
    """The object of a precision."""
    return _BY_NAME[name]


def find_target(name: Precision) -> TargetPrecision:
    """The object of a precision to convert to.

    Raises:
        InputError: it is the precision that artifacts are converted from.
    """
    if name not in _TARGETS:
        raise InputError(f"there is nothing to convert: {name} is what artifacts are exported in")
    return _TARGETS[name]


def common_name(runtime_name: str) -> str:
    """The toolkit's name for what a runtime calls a type (`float16`, `half`); other names are returned as they are."""
    return _BY_RUNTIME_NAME.get(runtime_name, runtime_name)


def split_options(options: ConvertOptions, precisions: Collection[Precision]) -> dict[Precision, ConvertOptions]:
    """For each precision, the options that apply to it; the others have no effect in what is returned.

    Raises:
        InputError: an option was given that applies to none of these precisions.
    """
    wanted = [find_target(name) for name in precisions]
    for option in sorted(_ALL):
        given = getattr(options, option) not in (getattr(_NONE, option), getattr(DEFAULTS, option))
        if given and not any(option in target.options for target in wanted):
            fitting = " and ".join(target.name for target in TARGETS if option in target.options)
            raise InputError(f"{option.replace('_', '-')} applies to {fitting}, not to {', '.join(precisions)}")
    return {
        target.name: replace(options, **{option: getattr(_NONE, option) for option in _ALL - target.options})
        for target in wanted
    }


_ALL: frozenset[str] = frozenset().union(*(target.options for target in TARGETS))
"""Options that do not apply to every precision."""

_NONE = ConvertOptions(keep_fp32=())
"""Their values where they do not apply."""
