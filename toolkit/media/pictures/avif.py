"""AVIF with more than 8 bits per sample, or with colour code points, which Pillow does not write."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from toolkit.errors import InputError, Unavailable
from toolkit.images.boxes import nclx_place
from toolkit.images.picture import Cicp, Picture, Samples
from toolkit.system.extras import how_to_install

_SRGB = Cicp(1, 13)
_BT2020, _BT2020_MATRIX, _BT601_MATRIX = 9, 9, 6
_SPEED = 6
"""libaom's speed, 0 to 10; Pillow's default."""


def avif(picture: Picture, quality: int) -> bytes:
    """A picture as an AVIF file. uint16 is written with 10 bits if the original had no more, otherwise with 12.

    Raises:
        InputError: the encoder refuses it.
        Unavailable: uint16, and imagecodecs is not installed.
    """
    cicp = picture.metadata.cicp or _SRGB
    if picture.samples.dtype == np.uint8:
        return _tagged(_by_pillow(picture, quality), cicp)
    try:
        import imagecodecs
    except ImportError as error:
        raise Unavailable(
            "writing AVIF of more than 8 bits needs imagecodecs, which is not installed",
            f"{how_to_install('images')}, or write .png.",
        ) from error
    depth = 10 if 8 < picture.depth <= 10 else 12
    try:
        made = imagecodecs.avif_encode(
            _to_depth(picture.samples, depth),
            level=quality,
            speed=_SPEED,
            bitspersample=depth,
            pixelformat="444",
            primaries=cicp.primaries,
            transfer=cicp.transfer,
            matrix=_BT2020_MATRIX if cicp.primaries == _BT2020 else _BT601_MATRIX,
            numthreads=1,
        )
    except (RuntimeError, ValueError) as error:
        raise InputError(f"cannot encode the picture as AVIF: {error}", "Write .png.") from error
    return bytes(made)


def _to_depth(samples: Samples, depth: int) -> Samples:
    most = (1 << depth) - 1
    scaled: Samples = np.rint(samples * np.float32(most / 65535)).astype(np.uint16)
    return scaled


def _by_pillow(picture: Picture, quality: int) -> bytes:
    metadata, stream = picture.metadata, io.BytesIO()
    given = {
        "icc_profile": metadata.icc,
        "exif": None if metadata.exif is None else b"Exif\0\0" + metadata.exif,
        "xmp": metadata.xmp,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    Image.fromarray(picture.samples).save(stream, "AVIF", quality=quality, **settings)
    return stream.getvalue()


def _tagged(content: bytes, cicp: Cicp) -> bytes:
    """An AVIF file with other primaries and transfer function in its box `colr`; the matrix is the encoder's.

    The box has priority over the codestream (MIAF, ISO/IEC 23000-22, 7.3.6.4).
    """
    place = nclx_place(content)
    return content[:place] + struct.pack(">HH", cicp.primaries, cicp.transfer) + content[place + 4 :]
