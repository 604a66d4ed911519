"""The size limit of pictures."""

from __future__ import annotations

from PIL import Image


def check_size(width: int, height: int) -> None:
    """Apply Pillow's size limit, for decoders that start before Pillow knows the size.

    Raises:
        DecompressionBombError: there are more than twice `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    most = 2 * (Image.MAX_IMAGE_PIXELS or 1 << 62)
    if width * height > most:
        raise Image.DecompressionBombError(f"{width}x{height} pixels exceed the limit of {most} pixels")
