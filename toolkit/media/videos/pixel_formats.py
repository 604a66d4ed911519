"""Choice of the encoder's pixel format: the input's depth, chroma and transparency, or the nearest."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from toolkit.errors import InputError, suggestion

_CHROMA = {(2, 2): "420", (2, 1): "422", (1, 1): "444"}
_PLANAR = re.compile(r"yuv[aj]?4\d\dp(\d+le)?")
_DEPTHS = (8, 10, 12, 14, 16)
_ONLY_ALPHA: dict[str, frozenset[str]] = {
    "libx265": frozenset(),
    "hevc": frozenset(),
    "libvpx-vp9": frozenset({"yuva420p"}),
}
"""Formats with transparency of encoders that list further ones, but cannot open them."""


def choose_format(wanted: str | None, codec: str, given: str) -> str:
    """FFmpeg's name of the pixel format to encode.

    Args:
        wanted: the user's; None: transparency is kept if the encoder supports it; then chroma has priority over depth.
            For each, the input's own value is preferred, then the next larger one, then the next smaller one.
        codec: FFmpeg's name of an encoder.
        given: format of the input.

    Raises:
        InputError: there is no such encoder here, or it supports none of these formats.
    """
    formats = encoder_formats(codec)
    if wanted is not None:
        if formats and wanted not in formats:
            raise InputError(f"{codec} does not support {wanted}", f"It supports {', '.join(formats)}.")
        return wanted
    candidates = _candidates(given)
    for candidate in candidates:
        if not formats or (candidate in formats and _works(codec, candidate)):
            return candidate
    raise InputError(f"{codec} supports none of {', '.join(candidates)}", "Choose one with --pix-fmt.")


def encoder_formats(codec: str) -> tuple[str, ...]:
    """Pixel formats that an encoder supports; empty if it does not list them.

    Raises:
        InputError: there is no such encoder here.
    """
    import av

    try:
        found = av.Codec(codec, "w")
    except (av.FFmpegError, ValueError) as error:
        names = [name for name in ("libx264", "libx265", "libsvtav1", "ffv1", "mpeg4") if name in av.codecs_available]
        near = [name for name in get_close_matches(codec, av.codecs_available, 2) if name not in names]
        raise InputError(f"there is no encoder {codec!r} here", suggestion(codec, [*near, *names])) from error
    if found.type != "video":
        raise InputError(f"{codec} does not encode video")
    return tuple(item.name for item in found.video_formats or ())


def has_alpha(pix_fmt: str) -> bool:
    """Whether a format has transparency."""
    return any(component.is_alpha for component in _described(pix_fmt).components)


def is_rgb(pix_fmt: str) -> bool:
    """Whether samples are red, green and blue."""
    return bool(_described(pix_fmt).is_rgb)


def has_chroma(pix_fmt: str) -> bool:
    """Whether samples are luma and chroma."""
    described = _described(pix_fmt)
    colours = [component for component in described.components if not component.is_alpha]
    return len(colours) == 3 and not described.is_rgb and not pix_fmt.startswith("xyz")


def is_planar(pix_fmt: str) -> bool:
    """Whether luma and chroma have planes of their own, with samples in the lowest bits of 8 or 16."""
    return _PLANAR.fullmatch(pix_fmt) is not None


def is_yuv420(pix_fmt: str) -> bool:
    """Whether it has one pair of chroma samples for four of luma, in planes or NV12, and no transparency."""
    planar = is_planar(pix_fmt) and not has_alpha(pix_fmt) and subsampling(pix_fmt) == (2, 2)
    return planar or pix_fmt == "nv12"


def is_grey(pix_fmt: str) -> bool:
    """Whether there is luma only, besides transparency."""
    described = _described(pix_fmt)
    return not described.is_rgb and pix_fmt != "pal8" and sum(not item.is_alpha for item in described.components) == 1


def depth(pix_fmt: str) -> int:
    """Bits per sample."""
    return int(max(component.bits for component in _described(pix_fmt).components))


def subsampling(pix_fmt: str) -> tuple[int, int]:
    """Luma samples per chroma sample, across and down."""
    chroma = [component for component in _described(pix_fmt).components if component.is_chroma]
    return (64 // chroma[0].width, 64 // chroma[0].height) if chroma else (1, 1)


def chroma_of(pix_fmt: str) -> str:
    """Chroma as 420, 422 or 444, at least as fine as the format's."""
    described = _described(pix_fmt)
    if described.is_rgb or pix_fmt == "pal8":
        return "444"
    if is_grey(pix_fmt):
        return "420"
    return _CHROMA.get(subsampling(pix_fmt), "444")


def lost(given: str, chosen: str, codec: str) -> list[str]:
    """Notes about what a format loses of the input's."""
    notes = []
    if depth(chosen) < depth(given):
        notes.append(f"{depth(given)} bits per sample became {depth(chosen)}: {codec} takes {chosen}")
    if not is_rgb(chosen) and chroma_of(chosen) < chroma_of(given):
        before, after = (":".join(chroma_of(item)) for item in (given, chosen))
        notes.append(f"{before} chroma became {after}: {codec} takes {chosen}")
    if has_alpha(given) and not has_alpha(chosen):
        notes.append(f"transparency was left out: {codec} takes {chosen}")
    return notes


def _candidates(given: str) -> list[str]:
    """Formats by preference: planar YCbCr first, then RGB for encoders that support nothing else."""
    own = chroma_of(given)
    chromas = [item for item in _CHROMA.values() if item >= own]
    coarser = [item for item in reversed(_CHROMA.values()) if item < own]
    bits = depth(given)
    deep_enough = [item for item in _DEPTHS if item >= bits]
    depths = [deep_enough, [item for item in reversed(_DEPTHS) if item < bits]]
    made = []
    for alpha in (True, False) if has_alpha(given) else (False,):
        kind = "yuva" if alpha else "yuv"
        for group in (chromas, coarser):
            made += [f"{kind}{chroma}p{_suffix(item)}" for some in depths for chroma in group for item in some]
        planar = "gbrap" if alpha else "gbrp"
        made += [f"{planar}{_suffix(item)}" for some in depths for item in some]
        packed = ["rgba64be", "rgba", "argb"] if alpha else ["rgb48be", "rgb24"]
        made += packed if bits > 8 else packed[1:]
    return made


def _works(codec: str, pix_fmt: str) -> bool:
    return codec not in _ONLY_ALPHA or not has_alpha(pix_fmt) or pix_fmt in _ONLY_ALPHA[codec]


def _suffix(bits: int) -> str:
    return "" if bits == 8 else f"{bits}le"


def _described(pix_fmt: str) -> Any:
    import av

    return av.VideoFormat(pix_fmt, 64, 64)
