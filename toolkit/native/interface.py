"""The C interface of an engine, from the templates in `c/`: header, definitions, example program, and what CMake and
pkg-config need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files

from toolkit.artifact import Manifest
from toolkit.native.program import Program
from toolkit.native.targets import TILE_FLAGS, Target, library_files, linked_files
from toolkit.port import Port
from toolkit.quoting import cpp_comment

HEADER, EXAMPLE, SHARED = "engine.h", "example.c", "shared.h"
COMMON = "loading.h", "yuv420.h"
"""C headers that are the same for all engines."""

CMAKE, PKG_CONFIG = "Config.cmake", "engine.pc"
_CHOICE = "choice.cpp"

LARGEST_SIDE = 1 << 16
"""In pixels, of an engine's input."""


def symbol(name: str) -> str:
    """Prefix of an artifact's C functions: its name as a C identifier, so that one program can link several engines."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"n{cleaned}" if cleaned[:1].isdigit() else cleaned


def interface(template: str, program: Program, manifest: Manifest, *targets: Target) -> str:
    """A template from `c/`, filled in for one or more targets, the fastest first.

    The artifact's name, which comes from a file, is only used quoted or as `symbol`.
    """
    text = (files("toolkit.native") / "c" / template).read_text()
    prefix, fixed = symbol(manifest.name), program.shape
    values = {
        "NAME": cpp_comment(manifest.name),
        "SYMBOL": prefix,
        "SYMBOL_UPPER": prefix.upper(),
        "PRECISION": manifest.precision,
        "TARGET": ", ".join(target.name for target in targets),
        "VERSION": version("rt4ksr-toolkit"),
        "SCALE": program.scale,
        "UNIT": program.unit,
        "EVEN": program.even,
        "MULTIPLE": program.multiple,
        "SMALLEST": program.smallest,
        "LARGEST": LARGEST_SIDE,
        "SIZES": _sizes(program),
        "VIDEO": str(program.video is not None).lower(),
        "VIDEO_TEXT": "the network takes luma only" if program.video is None else "the kind of video is unknown",
        "FIXED_HEIGHT": 0 if fixed is None else fixed[0],
        "FIXED_WIDTH": 0 if fixed is None else fixed[1],
        "INPUT_PORT": _port(manifest.input),
        "OUTPUT_PORT": _port(manifest.output),
        "IN_DTYPE": program.input.dtype,
        "IN_LAYOUT": program.input.layout,
        "OUT_DTYPE": program.output.dtype,
        "OUT_LAYOUT": program.output.layout,
        **_samples(manifest),
        "STATIC_SIZE": "true" if fixed is None else f"height == {fixed[0]} && width == {fixed[1]}",
        "SUPPORTED": _supported(targets[0]),
        "CHOICES": _choices(prefix, targets),
        "FILES": ", ".join(_chosen_from(prefix, targets).values()),
        "TILES": "\n".join(f'#include "{target.tiles}"' for target in _same_machine(targets) if target.tiles),
        "CMAKE_FILES": "\n".join(
            f'set(_{prefix}_{machine} "{file}")' for machine, file in linked_files(prefix, targets).items()
        ),
    }
    return re.sub(r"@([A-Z_]+)@", lambda match: str(values[match[1]]), text)


def choice_sources(program: Program, manifest: Manifest, targets: Sequence[Target]) -> dict[str, str]:
    """C++ source files of the library that loads the engine file for this CPU, by file name."""
    return {
        "engine.cpp": interface(_CHOICE, program, manifest, *targets),
        SHARED: interface(SHARED, program, manifest, *targets),
        **common_headers(),
    }


def common_headers() -> dict[str, str]:
    """The C headers that are the same for all engines, by file name."""
    return {name: (files("toolkit.native") / "c" / name).read_text() for name in COMMON}


def _supported(target: Target) -> str:
    """C++ expression for whether a CPU has the instructions of a target."""
    features = {"avx512_vnni": "avx512vnni", "avx512_bf16": "avx512bf16"}
    checks = [f'__builtin_cpu_supports("{features.get(flag, flag)}")' for flag in sorted(target.flags - TILE_FLAGS)]
    if target.tiles:
        checks.append("tiles::available()")
    return " && ".join(checks) if target.machine == "x86_64" and checks else "true"


def _choices(prefix: str, targets: Sequence[Target]) -> str:
    """C++ statements that load the first file that this CPU supports and that is there."""
    files = _chosen_from(prefix, targets)
    chosen = ((target, files[target.name]) for target in _same_machine(targets))
    return "\n".join(f'  if ({_supported(target)} && take("{file}")) return;' for target, file in chosen)


def _chosen_from(prefix: str, targets: Sequence[Target]) -> dict[str, str]:
    """Files among which `engine.so` chooses, by target name."""
    files = library_files(prefix, targets)
    return {target.name: files[target.name] for target in _same_machine(targets)}


def _same_machine(targets: Sequence[Target]) -> list[Target]:
    """Those for the machine type of the first, the only ones among which `engine.so` chooses."""
    return [target for target in targets if target.machine in ("", targets[0].machine)]


def _sizes(program: Program) -> str:
    """The sizes and rows that an engine accepts, for its error text."""
    even = {1: "", 2: "even, and "}.get(program.even, f"multiples of {program.even}, and ")
    sides = f"height and width must be {even}{program.smallest} to {LARGEST_SIDE}"
    if program.shape is not None:
        sides = f"height must be {program.shape[0]} and width {program.shape[1]}"
    unit = "" if program.unit == 1 else f" and multiples of {program.unit}"
    video = "" if program.video is None or program.even % 2 == 0 else "; sizes and rows of video must be even"
    return f"{sides}; rows must be in the frame{unit}{video}"


def _port(port: Port) -> str:
    """A port as an initializer of `rt4ksr_port`."""
    values = port.channels, port.itemsize, int(port.layout == "NHWC"), int(port.order == "BGR")
    return f"{{{', '.join(map(str, values))}, {port.value_range[0]!r}, {port.span!r}}}"


def _samples(manifest: Manifest) -> dict[str, str]:
    """Conversions between bytes of a picture and samples of frames, for the example program and comments."""
    given, returned = manifest.input, manifest.output
    grey = given.channels == 1
    return {
        "ORDER": "one channel of luma" if grey else given.order,
        "CHANNELS": str(given.channels),
        "FORMAT": "PGM" if grey else "PPM",
        "SUFFIX": "pgm" if grey else "ppm",
        "MAGIC": "P5" if grey else "P6",
        "MAGIC_DIGIT": "5" if grey else "6",
        "IN_C": "unsigned char" if given.dtype == "uint8" else "float",
        "OUT_C": "unsigned char" if returned.dtype == "uint8" else "float",
        "INTERLEAVED_IN": str(int(given.layout == "NHWC")),
        "INTERLEAVED_OUT": str(int(returned.layout == "NHWC")),
        "IN_COLOUR": "2 - colour" if given.order == "BGR" else "colour",
        "OUT_COLOUR": "2 - colour" if returned.order == "BGR" else "colour",
        "IN_STEP": _step(255.0, given.span),
        "IN_BLACK": repr(given.value_range[0]),
        "OUT_STEP": _step(returned.span, 255.0),
        "OUT_BLACK": repr(returned.value_range[0]),
        "OUT_WHITE": repr(returned.value_range[1]),
    }


def _step(source: float, target: float) -> str:
    """C operator and operand that take values 0..`source` to 0..`target`, with the rounding of `Port`."""
    return f"* (float){target / source!r}" if target > source else f"/ (float){source / target!r}"
