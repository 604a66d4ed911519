"""Encoding: codecs, their settings, and segments that are encoded independently."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from toolkit.errors import InputError
from toolkit.media.videos.clock import rescale
from toolkit.media.videos.colour import Colour, tagged
from toolkit.media.videos.mastering import HDR_TRANSFERS, Mastering, encoder_option
from toolkit.media.videos.pixel_formats import choose_format, has_alpha, is_rgb, lost, subsampling
from toolkit.media.videos.tally import Tally
from toolkit.system.scheduling import unchanged_scheduling
from toolkit.workloads import Shape

if TYPE_CHECKING:
    import av

# Visually lossless at an acceptable speed.
DEFAULTS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "17", "preset": "medium"},
    "libx265": {"crf": "19", "preset": "medium"},
    "libsvtav1": {"crf": "22", "preset": "8"},
    "libvpx-vp9": {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"},
    "ffv1": {"level": "3", "slicecrc": "1"},
}
QUIET = {"libx265": {"x265-params": "log-level=none"}}
_SUFFIX_CODECS = {".webm": ("libsvtav1", "libvpx-vp9")}
_CODECS = ("libx264", "libsvtav1", "mpeg4")
"""In order of preference: builds of FFmpeg may lack some."""
_HDR_CODECS = ("libx265", "libsvtav1")
"""Codecs with 10 bits that players decode in hardware and display as high dynamic range."""
_ALPHA_CODECS = {
    ".webm": ("libvpx-vp9",),
    ".mkv": ("libvpx-vp9", "prores_ks"),
    ".mov": ("prores_ks",),
    ".nut": ("ffv1",),
}
"""Encoders of transparent video: the first that keeps the depth and chroma of the input is used, else the last."""
ADDITION: Literal["matroska_block_additional"] = "matroska_block_additional"
_EVEN_ONLY = frozenset({"libx264", "libx265", "mpeg4", "h264_nvenc", "hevc_nvenc", "av1_nvenc", "prores_ks"})


@dataclass(frozen=True)
class VideoFormat:
    """How videos are encoded; None: the toolkit's default.

    Attributes:
        codec: FFmpeg's name of the encoder; default: libx264, libx265 for high dynamic range, libsvtav1 for .webm.
        crf: constant quality on the codec's own scale; lower is better.
        preset: speed, with the codec's own names.
        pix_fmt: pixel format of the output; default: chroma subsampling and depth of the input.
        options: further options of the encoder.
    """

    codec: str | None = None
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    options: tuple[tuple[str, str], ...] = ()


class Encoding(msgspec.Struct, frozen=True):
    """All settings of an encoder: with equal settings, equal frames are encoded to equal packets."""

    codec: str
    width: int
    height: int
    pix_fmt: str
    time_base: tuple[int, int]
    rate: tuple[int, int]
    aspect: tuple[int, int]
    options: dict[str, str]
    threads: int
    matrix: int
    full: bool
    location: str
    primaries: int
    transfer: int

    @property
    def colour(self) -> Colour:
        return Colour(self.matrix, self.full, self.location, self.primaries, self.transfer)


class EncodedPacket(msgspec.Struct, frozen=True, array_like=True):
    """A packet, with times in the encoding's time base; `addition` is Matroska's additional block: the alpha of VP9."""

    pts: int
    dts: int
    duration: int
    key: bool
    data: bytes
    addition: bytes = b""


class Part(msgspec.Struct, frozen=True):
    """A segment of a video, encoded."""

    number: int
    frames: int
    packets: list[EncodedPacket]
    rows: int = 0
    reused_rows: int = 0
    tally: Tally = Tally()


def choose_encoding(
    wanted: VideoFormat,
    suffix: str,
    shape: Shape,
    pix_fmt: str,
    colour: Colour,
    times: tuple[Fraction, Fraction, Fraction],
    threads: int,
    mastering: Mastering,
) -> Encoding:
    """Settings for an output.

    Args:
        wanted: the user's settings.
        suffix: of the output file.
        shape: of the frames.
        pix_fmt: of the input.
        colour: of the input, which the output keeps.
        times: time base, frame rate, and pixel aspect ratio.
        threads: of the encoder.
        mastering: of the input, which the output keeps if the encoder can write it.

    Raises:
        InputError: there is no such encoder here, or it does not support these frames.
    """
    codec = wanted.codec or default_codec(suffix, pix_fmt, hdr=colour.transfer in HDR_TRANSFERS)
    chosen = choose_format(wanted.pix_fmt, codec, pix_fmt)
    options = dict(DEFAULTS.get(codec, {}))
    if wanted.crf is not None:
        options["crf"] = f"{wanted.crf:g}"
    if wanted.preset is not None:
        options["preset"] = wanted.preset
    if codec == "libvpx" and has_alpha(chosen):
        options["auto-alt-ref"] = "0"  # the encoder refuses transparency with it
    options |= _joined(codec, encoder_option(codec, mastering), dict(wanted.options))
    if is_rgb(chosen) != (colour.matrix == 0):
        colour = Colour(0 if is_rgb(chosen) else 1, is_rgb(chosen), "left", colour.primaries, colour.transfer)
    height, width = shape.sides
    if codec in _EVEN_ONLY:
        across, down = subsampling(chosen)
        width, height = width + width % across, height + height % down
    base, rate, aspect = ((value.numerator, value.denominator) for value in times)
    fields = colour.matrix, colour.full, colour.location, colour.primaries, colour.transfer
    return Encoding(codec, width, height, chosen, base, rate, aspect, options, threads, *fields)


def default_codec(suffix: str, pix_fmt: str, *, hdr: bool) -> str:
    """The default encoder for a container and pixel format, among those of this build of FFmpeg.

    Raises:
        InputError: there is none.
    """
    import av

    transparent = [codec for codec in _ALPHA_CODECS.get(suffix, ()) if codec in av.codecs_available]
    if has_alpha(pix_fmt) and transparent:
        exact = (codec for codec in transparent if not lost(pix_fmt, choose_format(None, codec, pix_fmt), codec))
        return next(exact, transparent[-1])
    usual: tuple[str, ...] = (*_HDR_CODECS, *_CODECS) if hdr else _CODECS
    for codec in _SUFFIX_CODECS.get(suffix, usual):
        if codec in av.codecs_available:
            return codec
    raise InputError("this build of FFmpeg has no encoder that the toolkit knows", "Choose one with --codec.")


def _joined(codec: str, mastering: tuple[str, str] | None, wanted: dict[str, str]) -> dict[str, str]:
    """The user's options; in an encoder's list of parameters, the toolkit's come before the user's."""
    own = list(QUIET.get(codec, {}).items()) + ([mastering] if mastering else [])
    options = dict(wanted)
    for name in {name for name, _ in own}:
        parts = [value for key, value in own if key == name]
        options[name] = ":".join([*parts, *([wanted[name]] if name in wanted else [])])
    return options


def silence_encoders() -> None:
    """Print errors only: SVT-AV1 prints its settings to stderr unless this environment variable is set."""
    os.environ.setdefault("SVT_LOG", "1")


def configure(context: Any, encoding: Encoding, *, global_header: bool) -> None:
    """Apply settings to an encoder: to those of segments, and to the one that provides the file's header."""
    from av.codec.context import Flags

    silence_encoders()
    context.width, context.height = encoding.width, encoding.height
    context.pix_fmt = encoding.pix_fmt
    context.time_base, context.framerate = Fraction(*encoding.time_base), Fraction(*encoding.rate)
    context.sample_aspect_ratio = Fraction(*encoding.aspect)
    context.thread_count = encoding.threads
    tagged(context, encoding.colour)
    options = dict(encoding.options)
    if encoding.matrix != 0:
        options["chroma_sample_location"] = encoding.location
    context.options = options
    if global_header:
        context.flags |= Flags.global_header


class SegmentEncoder:
    """Encoder of one segment, which depends on no other, so that segments may be encoded on any machine."""

    def __init__(self, encoding: Encoding, *, global_header: bool) -> None:
        import av

        self._context: Any = av.CodecContext.create(encoding.codec, "w")
        configure(self._context, encoding, global_header=global_header)
        self._time_base = Fraction(*encoding.time_base)
        try:
            with unchanged_scheduling():
                self._context.open()
        except av.FFmpegError as error:
            raise InputError(
                f"{encoding.codec} does not support {encoding.width}x{encoding.height} {encoding.pix_fmt} with "
                f"{', '.join(f'{name}={value}' for name, value in encoding.options.items())}: {error.strerror}",
                "Choose another codec, or other settings.",
            ) from error
        if unused := [name for name in self._context.options if name in encoding.options]:
            raise InputError(f"{encoding.codec} has no option {unused[0]}", "Leave it out, or choose another codec.")
        self.packets: list[EncodedPacket] = []
        self._given: set[int] = set()

    def encode(self, frame: av.VideoFrame, pts: int) -> None:
        frame.pts, frame.time_base = pts, self._time_base
        frame.pict_type = 0
        self._given.add(pts)
        self._take(self._context.encode(frame))

    def finish(self) -> list[EncodedPacket]:
        self._take(self._context.encode(None))
        return self.packets

    @property
    def frames(self) -> int:
        """Number of encoded frames: encoders may drop frames, and add packets that are not shown."""
        return len(self._given & {packet.pts for packet in self.packets})

    def _take(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.time_base not in (None, self._time_base) and packet.time_base:
                rescale(packet, self._time_base)
            dts = packet.dts if packet.dts is not None else packet.pts
            addition = bytes(packet.get_sidedata(ADDITION)) if packet.has_sidedata(ADDITION) else b""
            self.packets.append(
                EncodedPacket(packet.pts, dts, packet.duration or 0, packet.is_keyframe, bytes(packet), addition)
            )


def side_data(addition: bytes) -> Any:
    """`EncodedPacket.addition` as FFmpeg's side data of a packet."""
    from av.packet import PacketSideData, packet_sidedata_type_from_literal

    create: Any = PacketSideData
    made = create(packet_sidedata_type_from_literal(ADDITION), len(addition))
    made.update(addition)
    return made
