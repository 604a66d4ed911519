"""Upscaler: a network as a function of images in memory, NumPy arrays or Pillow images."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from toolkit.artifact import Artifact
from toolkit.errors import InputError
from toolkit.media.channels import upscale_colour, upscale_grey, upscale_with_alpha
from toolkit.media.networks import UPSCALING_KINDS, bundled_artifact
from toolkit.media.strips import MEMORY
from toolkit.media.upscaler import FrameUpscaler
from toolkit.network.bundled_files import Purpose
from toolkit.runtimes.engine import Engine
from toolkit.runtimes.subject import Subject

Pixels = NDArray[np.uint8]
"""(H, W) grey, or (H, W, C) with C = 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha."""

_MODES = ("L", "LA", "RGB", "RGBA")
_KEPT = ("icc_profile", "dpi", "gamma")
"""Entries of a Pillow image's `info` that hold for the result too."""


class Upscaler:
    """A network that upscales images in memory.

    The network is loaded by the first image, and prepared again when the size of the images changes. Images that need
    more than `memory` are processed in strips, with the same result. Not safe for use by several threads at a time.

    Args:
        model: a subject, an artifact, an engine, the path of one, or `PATH@RUNTIME`. None: the toolkit's own weights.
        scale: upscaling factor of the toolkit's own weights, 2 or 3; not used if a model is given.
        weights: which of the toolkit's own weights: `clean`, or `video` for images with losses of a codec; not used if
            a model is given.
        runtime: inference runtime of an artifact, unless `model` names one. None: `native` if it works here and
            supports the network, otherwise `ort-cpu`. Engines have their own.
        threads: CPU threads of the runtime; 0: all usable CPUs.
        memory: bytes of memory for the network's tensors.

    Raises:
        InputError: there is no such file, runtime or scale, or the model is a checkpoint.
        ArtifactError: the artifact does not match its manifest.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((270, 480, 3), np.uint8)
        >>> with toolkit.Upscaler("exported/rt4ksr_x2_fp32.onnx", runtime="ort-cpu") as upscale:
        ...     print(upscale.scale, upscale(image).shape)
        2 (540, 960, 3)
    """

    def __init__(
        self,
        model: Subject | Artifact | Engine | Path | str | None = None,
        *,
        scale: int = 2,
        weights: Purpose = "clean",
        runtime: str | None = None,
        threads: int = 0,
        memory: int = MEMORY,
    ) -> None:
        given = bundled_artifact(scale, weights) if model is None else model
        self._subject = Subject.of_any(given, runtime, accepted=UPSCALING_KINDS, threads=threads)
        if self._subject.manifest is None:
            raise InputError("a checkpoint cannot upscale images", "Export it first: `toolkit.export`.")
        self._upscaler: FrameUpscaler | None = FrameUpscaler(self._subject, memory=memory, packed=True)

    @property
    def scale(self) -> int:
        """Upscaling factor."""
        return self._subject.scale

    @overload
    def __call__(self, image: Image.Image) -> Image.Image: ...

    @overload
    def __call__(self, image: Pixels) -> Pixels: ...

    def __call__(self, image: Image.Image | Pixels) -> Image.Image | Pixels:
        """Upscale one image.

        Args:
            image: uint8, 0..255, of any size: an array (H, W) or (H, W, C) with C = 1 grey, 2 grey and alpha, 3 RGB,
                4 RGB and alpha; or a Pillow image of mode L, LA, RGB or RGBA. Alpha is straight, not premultiplied.

        Returns:
            A new image of the same kind, and `scale` times as high and as wide. No later call changes it.

        Raises:
            InputError: the image has another type or layout, the network accepts only another size, or this upscaler
                was closed.
            Unavailable: the runtime does not work here.
        """
        if isinstance(image, Image.Image):
            return self._upscale_pillow(image)
        if not isinstance(image, np.ndarray):
            raise InputError(f"{type(image).__name__} is not an image", "Give a NumPy array or a Pillow image.")
        if image.dtype != np.uint8:
            raise InputError(f"an image of {image.dtype} is not supported", "Convert it to uint8, 0..255.")
        if image.ndim == 2:
            return self._upscale(image[..., None])[..., 0]
        if image.ndim != 3 or not 1 <= image.shape[2] <= 4:
            raise InputError(f"an array of shape {image.shape} is not an image", "Give (H, W) or (H, W, 1 to 4).")
        return self._upscale(image)

    def close(self) -> None:
        """Release the network. An upscaler that was closed upscales no more images."""
        self._upscaler = None

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _upscale_pillow(self, image: Image.Image) -> Image.Image:
        if image.mode not in _MODES:
            raise InputError(
                f"a Pillow image of mode {image.mode} is not supported",
                f"Convert it to {', '.join(_MODES)}, for example image.convert('RGB').",
            )
        pixels = np.asarray(image)
        result = Image.fromarray(self(pixels))
        result.info.update({name: image.info[name] for name in _KEPT if name in image.info})
        return result

    def _upscale(self, pixels: Pixels) -> Pixels:
        """(H, W, C) to (scale*H, scale*W, C)."""
        if self._upscaler is None:
            raise InputError("this upscaler was closed", "Create a new one.")
        if 0 in pixels.shape:
            raise InputError(f"an image of shape {pixels.shape} has no pixels")
        upscale = {1: upscale_grey, 2: upscale_with_alpha, 3: upscale_colour, 4: upscale_with_alpha}[pixels.shape[2]]
        return np.ascontiguousarray(upscale(self._upscaler, pixels, 255))
