"""Colour of video frames: conversion from YCbCr to RGB and back.

FFmpeg's swscale converts, with accurate rounding, full chroma interpolation, and explicit matrix, range and chroma
location. Tests compare all combinations with the ITU-R formulas in float64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError
from toolkit.media.videos.pixel_formats import has_alpha, is_grey
from toolkit.media.videos.transparency import AlphaPlane, plane_samples, set_alpha
from toolkit.workloads import Shape

if TYPE_CHECKING:
    import av
    from av.video.format import VideoFormat

    from toolkit.media.upscaler import Planes

FLAGS = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_WHITE_16 = 255 << 8
"""swscale's 1.0 in 16-bit RGB, except for full-range frames of more than 8 bits on the way in."""

RGB, UNSPECIFIED = 0, 2
_MATRICES = {1: "bt709", 4: "fcc", 5: "smpte170m", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
"""swscale's names of AVCOL_SPC numbers (ITU-T H.273)."""
BUFFER_MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", RGB: "gbr"}
_LIMITED, _FULL = 1, 2
LOCATIONS = ("left", "center", "topleft", "top", "bottomleft", "bottom")
_HD = 720
"""Rows from which untagged video is assumed to be BT.709, as players do."""


@dataclass(frozen=True)
class Colour:
    """Interpretation of a frame's samples.

    Attributes:
        matrix: AVCOL_SPC number; 0 for RGB.
        full: whether luma has full range (JPEG) or 16..235 (TV).
        location: position of chroma samples relative to luma samples.
        primaries: AVCOL_PRI number, copied to the output.
        transfer: AVCOL_TRC number, copied to the output.
        assumed: what was assumed because the file does not specify it, for notes.
    """

    matrix: int
    full: bool
    location: str = "left"
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    assumed: str = ""


def colour_of(frame: av.VideoFrame, location: str | None) -> Colour:
    """The colour of a decoded frame; unspecified properties are those that players assume.

    Args:
        frame: decoded frame.
        location: of chroma, from `chroma_location`; None means left, the default since MPEG-2.

    Raises:
        InputError: the conversion to RGB is not supported (ICtCp, constant luminance, YCgCo).
    """
    name, matrix = frame.format.name, int(frame.colorspace)
    assumed = []
    if frame.format.is_rgb:
        return Colour(RGB, True, primaries=int(frame.color_primaries), transfer=int(frame.color_trc))
    if matrix in (UNSPECIFIED, RGB):
        matrix = assumed_matrix(Shape(frame.height, frame.width))
        assumed.append(f"matrix {'BT.709' if matrix == 1 else 'BT.601'}")
    if matrix not in _MATRICES:
        raise InputError(
            f"its colour matrix (number {matrix} of ITU-T H.273) cannot be converted", "Convert it to BT.2020 first."
        )
    full = name.startswith("yuvj") or int(frame.color_range) == _FULL
    if int(frame.color_range) not in (_LIMITED, _FULL) and not full:
        assumed.append("limited range")
    primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
    return Colour(matrix, full, location or "left", primaries, transfer, " and ".join(assumed))


def assumed_matrix(shape: Shape) -> int:
    """The matrix of untagged YCbCr video, as players assume it."""
    return 1 if min(shape.sides) >= _HD else 6


def chroma_location(description: str) -> str | None:
    """The chroma location in FFmpeg's description of a stream: `yuv420p(tv, bt709, topleft)`; None if there is none."""
    match = re.search(r"\((?:[^()]*, )?(" + "|".join(LOCATIONS) + r")(?:, [^()]*)?\)", description)
    return match[1] if match else None


class ToRgb:
    """Converts decoded frames to planes (3, H, W), or (4, H, W) with transparency."""

    def __init__(self, template: av.VideoFrame, colour: Colour, *, deep: bool, alpha: bool = False) -> None:
        """Prepare the conversion.

        Args:
            template: a frame with the size and format of all others.
            colour: of the frames.
            deep: whether frames of more than 8 bits become 16 bits per sample, rather than 8.
            alpha: whether transparency becomes a fourth plane; the frames must have it.
        """
        self._alpha = AlphaPlane(template) if alpha else None
        depth = depth_of(template.format)
        self._kind: Any = np.uint16 if deep and depth > 8 else np.uint8
        self.white = 255
        if self._kind == np.uint16:
            # Samples are shifted left to 16 bits, so the white of full range is its largest value, shifted.
            ends_itself = colour.full and colour.matrix != RGB
            self.white = ((1 << depth) - 1) << (16 - depth) if ends_itself else _WHITE_16
            if colour.matrix == RGB:
                self.white = 65535
        # swscale reads grey as full range, whatever its options say.
        self._expands = is_grey(template.format.name) and not colour.full
        options = {"out_range": "full", "flags": FLAGS}
        if colour.matrix != RGB:
            options |= {
                "in_color_matrix": _MATRICES[colour.matrix],
                "in_range": "full" if colour.full else "limited",
                "in_chroma_loc": colour.location,
            }
        target = "gbrp16le" if self._kind == np.uint16 else "gbrp"
        self._graph = conversion(template, BUFFER_MATRICES[colour.matrix], colour.full, options, target)

    def __call__(self, frame: av.VideoFrame) -> Planes:
        """Red, green and blue, and transparency if requested; 0..white."""
        self._graph.vpush(frame)
        converted = self._graph.vpull()
        green, blue, red = (plane_samples(plane, self._kind, converted.width) for plane in converted.planes)
        result: Planes = np.stack([red, green, blue])
        if self._expands:
            result = self._full_range(result)
        return result if self._alpha is None else np.concatenate([result, self._alpha(frame, self.white)])

    def _full_range(self, planes: Planes) -> Planes:
        """Samples from 16..235, scaled to the depth, to 0..white."""
        unit = 1 if self.white == 255 else 256
        levels = (planes.astype(np.float32) - 16 * unit) * np.float32(self.white / (219 * unit))
        result: Planes = np.clip(np.rint(levels), 0, np.iinfo(planes.dtype).max).astype(planes.dtype)
        return result


def rgb_of(frame: av.VideoFrame, colour: Colour, white: int) -> Planes:
    """A frame in RGB, (3, H, W) in 0..white: uint8 for a white of 255, otherwise uint16."""
    convert = ToRgb(frame, colour, deep=white != 255)
    planes = convert(frame)
    if convert.white == white:
        return planes
    return np.rint(planes * np.float32(white / convert.white)).astype(np.uint8 if white == 255 else np.uint16)


class FromRgb:
    """Converts planes (3, H, W), or (4, H, W) for formats with transparency, to frames to encode."""

    def __init__(self, width: int, height: int, white: int, colour: Colour, pix_fmt: str) -> None:
        import av

        self._colour = colour
        self._transparent = has_alpha(pix_fmt)
        self._format = f"{'gbrap' if self._transparent else 'gbrp'}{'' if white == 255 else '16le'}"
        self._kind: Any = np.uint8 if white == 255 else np.uint16
        self._white = white
        # Of 16 bits, anything but RGB takes 255 << 8 for 1.0, whatever its range.
        self._ends_at = 255 if white == 255 else 65535 if colour.matrix == RGB else _WHITE_16
        template = av.VideoFrame(width, height, self._format)
        options = {"in_range": "full", "flags": FLAGS}
        if colour.matrix != RGB:
            options |= {
                "out_color_matrix": _MATRICES[colour.matrix],
                "out_range": "full" if colour.full else "limited",
                "out_chroma_loc": colour.location,
            }
        self._graph = conversion(template, "gbr", True, options, pix_fmt)

    def __call__(self, planes: Planes) -> av.VideoFrame:
        """A frame without a timestamp."""
        import av

        height, width = planes.shape[1:]
        if self._white != self._ends_at:
            planes = np.rint(planes * np.float32(self._ends_at / self._white)).astype(np.uint16)
        frame = av.VideoFrame(width, height, self._format)
        written = [planes[1], planes[2], planes[0]]
        if self._transparent:
            written.append(planes[3] if len(planes) == 4 else np.full((height, width), self._ends_at))
        for plane, samples in zip(frame.planes, written, strict=True):
            plane_samples(plane, self._kind, width)[:] = samples
        self._graph.vpush(frame)
        made: av.VideoFrame = self._graph.vpull()
        if self._transparent:
            set_alpha(made, written[3], self._ends_at)
        tagged(made, self._colour)
        return made


def tagged(target: Any, colour: Colour) -> None:
    """Set the colour properties of a frame or an encoder."""
    target.colorspace = colour.matrix
    target.color_range = _FULL if colour.full else _LIMITED
    target.color_primaries, target.color_trc = colour.primaries, colour.transfer


def depth_of(video_format: VideoFormat) -> int:
    """Bits per sample."""
    return max(component.bits for component in video_format.components)


def conversion(template: av.VideoFrame, matrix: str, full: bool, options: dict[str, str], target: str) -> Any:
    """A filter graph that converts frames like `template` to the pixel format `target`.

    Args:
        template: a frame with the size and format of all others.
        matrix: of the frames, as the `buffer` filter names it.
        full: whether they have full range.
        options: of the `scale` filter.
        target: FFmpeg's name of a pixel format.
    """
    import av
    import av.filter

    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add(
        "buffer",
        f"video_size={template.width}x{template.height}:pix_fmt={template.format.name}:time_base=1/1:"
        f"pixel_aspect=1/1:colorspace={matrix}:range={'pc' if full else 'tv'}",
    )
    scale = graph.add("scale", ":".join(f"{name}={value}" for name, value in options.items()))
    graph.link_nodes(source, scale, graph.add("format", target), graph.add("buffersink")).configure()
    return graph
