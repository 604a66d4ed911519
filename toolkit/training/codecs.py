"""Low-resolution frames as a decoder delivers them: encoded by real codecs at random settings, then decoded.

Super-resolution networks that were trained on clean images amplify what a codec leaves behind. Synthetic models of
these losses (JPEG, noise, blur) differ from them in kind: motion compensation, deblocking filters, and quantisers that
change from frame to frame. So training clips pass through the same libraries that users' files come from.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from toolkit.errors import InputError
from toolkit.media.videos.clip_encoder import CodecSettings, configure, encoded, require_encoders
from toolkit.media.videos.colour import Colour, ToRgb
from toolkit.training.degradation import Pixels

_RATE = Fraction(25)
_MATRICES = (1, 6)
"""BT.709 and BT.601, as AVCOL_SPC numbers."""

Random = np.random.Generator


def _between(random: Random, low: int, high: int) -> str:
    return str(random.integers(low, high + 1))


def _quality(random: Random, best: int, worst: int) -> str:
    """The larger of two draws, because poor quality is harder to learn and a network has little to lose at good
    quality: drawn evenly, the gain at x264's crf 28 and 33 was 0.06 dB less (`toolkit/network/weights/README.md`)."""
    return str(random.integers(best, worst + 1, 2).max())


def _x264(random: Random) -> dict[str, str]:
    preset = ("superfast", "veryfast", "medium", "slow")[random.integers(4)]
    return {"crf": _quality(random, 16, 40), "preset": preset, "x264-params": "log-level=none"}


def _x265(random: Random) -> dict[str, str]:
    preset = ("superfast", "fast", "medium")[random.integers(3)]
    return {"crf": _quality(random, 16, 40), "preset": preset, "x265-params": "log-level=none:pools=1:frame-threads=1"}


def _av1(random: Random) -> dict[str, str]:
    return {"crf": _quality(random, 20, 60), "preset": _between(random, 8, 11), "svtav1-params": "lp=1"}


def _vp9(random: Random) -> dict[str, str]:
    speed = _between(random, 5, 8)
    return {"crf": _quality(random, 18, 58), "b": "0", "deadline": "realtime", "cpu-used": speed}


def _quantiser(random: Random) -> dict[str, str]:
    # A fixed quantiser, because these encoders have no constant rate factor.
    value = _quality(random, 2, 24)
    return {"qmin": value, "qmax": value}


_ENCODERS: dict[str, tuple[float, Callable[[Random], dict[str, str]]]] = {
    "libx264": (0.40, _x264),
    "libx265": (0.22, _x265),
    "libsvtav1": (0.14, _av1),
    "libvpx-vp9": (0.12, _vp9),
    "mpeg2video": (0.06, _quantiser),
    "mpeg4": (0.06, _quantiser),
}
"""Probability of each encoder, and how its settings are drawn: about as they occur in users' files."""


def random_settings(random: Random) -> CodecSettings:
    """Settings drawn from what is common in files: codec, quality, speed, distance of key frames, chroma and range.

    Raises:
        Unavailable: PyAV is missing, or its FFmpeg lacks one of the encoders: the result would depend on the machine.
    """
    require_encoders(_ENCODERS)
    names = list(_ENCODERS)
    codec = names[random.choice(len(names), p=[_ENCODERS[name][0] for name in names])]
    options = _ENCODERS[codec][1](random)
    # HEVC and AV1 files often have chroma at the top left; JPEG-like sources in the centre.
    location = ("left", "left", "center", "topleft")[random.integers(4)]
    full = bool(random.random() < 0.1) and codec not in ("mpeg2video", "mpeg4")
    colour = Colour(_MATRICES[random.integers(2)], full, location)
    group = int((2, 12, 250)[random.integers(3)])
    return CodecSettings(codec, tuple(options.items()), colour, group)


def decoded_clip(frames: Pixels, settings: CodecSettings) -> Pixels:
    """Encode a clip and decode it again.

    Args:
        frames: uint8 RGB (T, H, W, 3), H and W even.
        settings: of the encoder.

    Returns:
        uint8 RGB (T, H, W, 3): converted to 4:2:0 and back exactly as `upscale` converts videos.

    Raises:
        InputError: the encoder does not take these settings, or loses frames.
    """
    import av

    decoder: Any = av.CodecContext.create(_DECODERS.get(settings.codec, settings.codec), "r")
    decoder.thread_count = 1
    encoder: Any = av.CodecContext.create(settings.codec, "w")
    configure(encoder, settings, frames.shape[2], frames.shape[1], _RATE)
    packets = list(encoded(encoder, frames.transpose(0, 3, 1, 2), settings.colour, _RATE))
    decoder.extradata = encoder.extradata
    made: list[Any] = []
    for packet in [*packets, None]:
        made += decoder.decode(packet)
    if len(made) != len(frames):
        raise InputError(f"{settings.codec} made {len(made)} of {len(frames)} frames with {dict(settings.options)}")
    to_rgb = ToRgb(made[0], settings.colour, deep=False)
    return np.stack([to_rgb(frame).transpose(1, 2, 0) for frame in made])


_DECODERS = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "libdav1d", "libvpx-vp9": "vp9"}
