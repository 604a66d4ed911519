"""Reads TIFF files with tifffile: those with more than 8 bits per sample, and those that Pillow cannot open."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError
from toolkit.images.decoders import required
from toolkit.images.limits import check_size
from toolkit.images.picture import Mode, Samples
from toolkit.images.scaling import straight, to_full_range

if TYPE_CHECKING:
    from tifffile import TiffPage

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _SEPARATED = 0, 1, 2, 5
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _SEPARATED: 4}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_CMYK_INKS = 1
_UNSIGNED = 1
_FORMATS = {_UNSIGNED: "unsigned", 2: "signed", 3: "floating-point"}
_ADVICE = "Save it as grey, RGB or CMYK with unsigned integers of 8 or 16 bits."


def tiff_samples(path: Path) -> tuple[Samples, Mode, int, tuple[str, ...]]:
    """Samples before the orientation is applied, their mode, bits per sample, and notes.

    Raises:
        InputError: samples are of a kind that is not supported.
        Unavailable: tifffile or imagecodecs is not installed.
    """
    tifffile = required("tifffile", path, "a TIFF like this")
    required("imagecodecs", path, "a TIFF like this")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs every deviation from the standard
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        _check(path, page)
        values = page.asarray(maxworkers=1)
        if page.axes in ("SYX", "SYXS"):
            values = np.moveaxis(values, 0, -1)
    values = values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
    return _as_picture(values, page)


def _check(path: Path, page: TiffPage) -> None:
    photometric, bits = int(page.photometric), page.bitspersample
    if photometric not in _COLOURS:
        kind = _name(page.photometric)
        raise InputError(f"{path} has the photometric interpretation {kind}, which is not supported", _ADVICE)
    if int(page.sampleformat) != _UNSIGNED or bits > 16:
        kind = _FORMATS.get(int(page.sampleformat), "unknown")
        raise InputError(f"{path} has {kind} {bits}-bit samples", _ADVICE)
    inks = page.tags.get("InkSet")
    if photometric == _SEPARATED and inks is not None and inks.value != _CMYK_INKS:
        raise InputError(f"{path} has inks other than cyan, magenta, yellow and black", _ADVICE)
    if page.samplesperpixel < _COLOURS[photometric] or page.imagedepth != 1:
        raise InputError(f"{path} has {page.samplesperpixel} channels, too few for {_name(page.photometric)}", _ADVICE)
    check_size(page.imagewidth, page.imagelength)
    if len(page.dataoffsets) < math.prod(page.chunked):
        raise OSError("the file has fewer strips or tiles than its size requires")


def _name(photometric: Any) -> str:
    """Name of a photometric interpretation; the number itself if tifffile has no name for it."""
    return str(getattr(photometric, "name", photometric))


def _as_picture(values: Any, page: TiffPage) -> tuple[Samples, Mode, int, tuple[str, ...]]:
    photometric, bits = int(page.photometric), page.bitspersample
    samples = to_full_range(values, bits)
    white = 255 if samples.dtype == np.uint8 else 65535
    count = _COLOURS[photometric]
    colour, extra = samples[..., :count], samples[..., count:]
    if photometric == _WHITE_IS_ZERO:
        colour = white - colour
    notes = []
    kind = int(page.extrasamples[0]) if extra.shape[2] and len(page.extrasamples) else 0
    has_alpha = kind in (_ASSOCIATED, _UNASSOCIATED) and photometric != _SEPARATED
    if extra.shape[2] > has_alpha:
        notes.append(f"{extra.shape[2] - has_alpha} further channels were left out")
    if not has_alpha:
        mode: Mode = "CMYK" if photometric == _SEPARATED else "RGB" if count == 3 else "L"
        return np.ascontiguousarray(colour), mode, bits, tuple(notes)
    alpha = extra[..., :1]
    if kind == _ASSOCIATED:
        colour = straight(colour, alpha)
    return np.concatenate([colour, alpha], 2), "RGBA" if count == 3 else "LA", bits, tuple(notes)
