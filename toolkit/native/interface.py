"""The C interface of an engine: header, definitions and example program, from the templates in `c/`."""

from __future__ import annotations

import re
from importlib.resources import files

from toolkit.artifact import Manifest
from toolkit.native.program import Program
from toolkit.native.targets import TILE_FLAGS, Target
from toolkit.port import Port
from toolkit.quoting import cpp_comment

LIBRARY, HEADER, EXAMPLE, LOADING = "engine.so", "engine.h", "example.c", "loading.h"


def symbol(name: str) -> str:
    """Prefix of an artifact's C functions: its name as a C identifier, so that one program can link several engines."""
    cleaned = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"n{cleaned}" if cleaned[:1].isdigit() else cleaned


def interface(template: str, program: Program, manifest: Manifest, target: Target) -> str:
    """A template from `c/`, filled in.

    The artifact's name, which comes from a file, is only used quoted or as `symbol`.
    """
    text = (files("toolkit.native") / "c" / template).read_text()
    fixed = program.shape
    features = {"avx512_vnni": "avx512vnni", "avx512_bf16": "avx512bf16"}
    checks = [f'__builtin_cpu_supports("{features.get(flag, flag)}")' for flag in sorted(target.flags - TILE_FLAGS)]
    if target.tiles:
        checks.append("tiles::available()")
    values = {
        "NAME": cpp_comment(manifest.name),
        "SYMBOL": symbol(manifest.name),
        "SYMBOL_UPPER": symbol(manifest.name).upper(),
        "PRECISION": manifest.precision,
        "TARGET": target.name,
        "SCALE": program.scale,
        "UNIT": program.unit,
        "EVEN": program.even,
        "MULTIPLE": program.multiple,
        "SMALLEST": program.smallest,
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
        "SUPPORTED": " && ".join(checks) if target.machine == "x86_64" else "true",
    }
    return re.sub(r"@([A-Z_]+)@", lambda match: str(values[match[1]]), text)


def loading() -> str:
    """`loading.h`, which is the same for all engines."""
    return (files("toolkit.native") / "c" / LOADING).read_text()


def _port(port: Port) -> str:
    """A port as an initializer of `rt4ksr_port`."""
    values = port.channels, port.itemsize, int(port.layout == "NHWC"), int(port.order == "BGR")
    return f"{{{', '.join(map(str, values))}, {port.value_range[0]!r}, {port.span!r}}}"


def _samples(manifest: Manifest) -> dict[str, str]:
    """Conversions between bytes of a picture and samples of frames, for the example program and comments."""
    given, returned = manifest.input, manifest.output
    rounding = 0.5 if given.dtype == "uint8" else 0.0
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
        "IN_SPAN": repr(given.span),
        "IN_BLACK": repr(given.value_range[0] + rounding),
        "OUT_SPAN": repr(returned.span),
        "OUT_BLACK": repr(returned.value_range[0]),
    }
