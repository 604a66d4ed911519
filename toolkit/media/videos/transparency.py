"""Transparent video: decoders that support it, and the alpha planes of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av

    from toolkit.media.upscaler import Planes

_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own decoders of these do not decode the second stream, which contains alpha."""
_ALPHA_MODE = "alpha_mode"


def decoder_of(stream: Any) -> Any:
    """The codec context that decodes all planes of a video stream, of a container that was just opened."""
    import av

    context = stream.codec_context
    declared = {key.lower(): value for key, value in stream.metadata.items()}.get(_ALPHA_MODE) == "1"
    name = _DECODERS.get(context.name)
    if not declared or name not in av.codecs_available:
        return context
    decoder = av.CodecContext.create(name, "r")
    decoder.extradata = context.extradata
    return decoder


class AlphaPlane:
    """Extracts the alpha plane of decoded frames."""

    def __init__(self, template: av.VideoFrame) -> None:
        import av.filter

        self._graph = av.filter.Graph()
        self._graph.threads = 1
        size = f"video_size={template.width}x{template.height}:pix_fmt={template.format.name}"
        source = self._graph.add("buffer", f"{size}:time_base=1/1:pixel_aspect=1/1")
        extract = self._graph.add("extractplanes", "planes=a")
        self._graph.link_nodes(source, extract, self._graph.add("buffersink")).configure()

    def __call__(self, frame: av.VideoFrame, white: int) -> Planes:
        """(1, H, W): 0 is transparent, `white` is opaque."""
        self._graph.vpush(frame)
        grey: Any = self._graph.vpull()
        bits = grey.format.components[0].bits
        samples = plane_samples(grey.planes[0], _kind(bits), grey.width)
        kind = np.uint8 if white == 255 else np.uint16
        result: Planes = np.rint(samples * (white / ((1 << bits) - 1))).astype(kind)[None]
        return result


def set_alpha(frame: av.VideoFrame, alpha: Planes, white: int) -> None:
    """Replace the alpha plane of a frame exactly; frames without a separate plane are not changed.

    Args:
        frame: to encode.
        alpha: (H, W), 0..white.
        white: opaque.
    """
    if len(frame.planes) < 4:
        return
    bits = frame.format.components[3].bits
    target = plane_samples(frame.planes[3], _kind(bits), frame.width)
    target[:] = np.rint(alpha * (((1 << bits) - 1) / white)).astype(target.dtype)


def plane_samples(plane: Any, kind: Any, width: int) -> Any:
    """A frame's plane as an array (H, W) that shares its memory."""
    return np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[:, :width]


def _kind(bits: int) -> Any:
    return np.uint8 if bits <= 8 else np.uint16
