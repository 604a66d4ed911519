"""Decoding of samples with more than 8 bits, which Pillow would reduce to 8."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from toolkit.errors import InputError
from toolkit.images.boxes import ImageProperties
from toolkit.images.decoders import required
from toolkit.images.picture import Mode, Samples
from toolkit.images.pnm import deep_pixmap
from toolkit.images.scaling import to_full_range

_MODES: dict[int, Mode] = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_SIZ = b"\xff\x4f\xff\x51"
_SIZ_DEPTH = 42
"""Bytes from the start of a JPEG 2000 codestream to the depth of its first component, less one."""
_DEEP = "more than 8 bits per sample"


def png_samples(path: Path, source: Path | IO[bytes]) -> tuple[Samples, Mode]:
    """Samples and mode of a PNG with 16 bits per sample, read from `source`, which has no broken metadata."""
    codecs = required("imagecodecs", path, _DEEP)
    if isinstance(source, Path):
        content = source.read_bytes()
    else:
        source.seek(0)
        content = source.read()
    return _of(codecs.png_decode(content))


def deep_samples(path: Path, image: Image.Image, properties: ImageProperties) -> tuple[Samples, Mode, int] | None:
    """Samples, mode and depth of a file with more than 8 bits per sample; None for other files.

    Raises:
        InputError: samples are of a kind that is not supported.
        Unavailable: imagecodecs is not installed.
    """
    if image.format == "PPM":
        return deep_pixmap(path)
    if image.format == "AVIF" and properties.depth > 8:
        values = required("imagecodecs", path, _DEEP).avif_decode(path.read_bytes(), index=0, numthreads=1)
        return _scaled(values, properties.depth)
    if image.format == "HEIF" and properties.depth > 8:
        heif = required("pillow_heif", path, "HEIF").open_heif(path, convert_hdr_to_8bit=False, hdr_to_16bit=False)
        return _scaled(np.asarray(heif), properties.depth)
    if image.format == "JXL":
        return _jxl(path)
    if image.format == "JPEG2000":
        return _jpeg_2000(path)
    return None


def _jxl(path: Path) -> tuple[Samples, Mode, int] | None:
    values = required("imagecodecs", path, "JPEG XL").jpegxl_decode(path.read_bytes(), index=0, numthreads=1)
    if values.dtype == np.uint16:
        return (*_of(values), 16)
    if values.dtype == np.uint8:
        return (*_of(values), 8)
    raise InputError(f"{path} has floating-point samples", "Save it with unsigned integers of 8 or 16 bits per sample.")


def _jpeg_2000(path: Path) -> tuple[Samples, Mode, int] | None:
    content = path.read_bytes()
    start = content.find(_SIZ)
    depth = (content[start + _SIZ_DEPTH] & 0x7F) + 1 if 0 <= start < len(content) - _SIZ_DEPTH else 8
    if not 8 < depth <= 16:
        return None
    values = required("imagecodecs", path, _DEEP).jpeg2k_decode(content, numthreads=1)
    return _scaled(values, depth)


def _scaled(values: Any, depth: int) -> tuple[Samples, Mode, int]:
    samples, mode = _of(values)
    return to_full_range(samples, depth), mode, depth


def _of(values: Any) -> tuple[Samples, Mode]:
    samples = values[..., None] if values.ndim == 2 else values
    return samples, _MODES[samples.shape[2]]
