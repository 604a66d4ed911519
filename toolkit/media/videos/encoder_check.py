"""Whether an encoder takes the options that were given, found out before there is a frame."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from toolkit.errors import InputError, ToolkitError, Unavailable, suggestion
from toolkit.media.videos.assembly import FORMATS as CONTAINERS
from toolkit.media.videos.encoding import DEFAULTS, QUIET, VideoFormat, default_codec, silence_encoders
from toolkit.media.videos.pixel_formats import encoder_formats

_SIDE = 256
"""Pixels of a frame that no encoder finds too small or too large."""

_CLIPPED = {"libx264": (0, 51), "libx264rgb": (0, 51)}
"""Encoders that silently bring a crf outside of their range into it."""

_SPEEDS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
_MOST = 255
"""No encoder's crf or preset goes beyond."""

_INPUTS = ("yuv420p", "yuva420p", "yuva444p12le")
"""Inputs that get different encoders by default: opaque, transparent, and both transparent and deep."""
_FORMATS = ("yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p", "gbrp")


def check_encoder(wanted: VideoFormat, suffix: str) -> None:
    """Open the encoders that an output may get with the options that were given.

    Raises:
        InputError: there is no such encoder, it does not take one of the options, whatever the frames are like, or the
            container does not take what it makes.
        Unavailable: the encoder does not work on this machine, even without options.
    """
    if wanted.codec is not None:
        pix_fmt = _check(wanted.codec, wanted)
        if suffix in CONTAINERS:
            _check_container(wanted.codec, pix_fmt, suffix)
        return
    errors = []
    codecs = {default_codec(suffix, pix_fmt, hdr=hdr): None for hdr in (False, True) for pix_fmt in _INPUTS}
    for codec in codecs:
        try:
            _check(codec, wanted)
        except ToolkitError as error:
            errors.append(error)
    if len(errors) == len(codecs):
        raise errors[0]


def _check_container(codec: str, pix_fmt: str, suffix: str) -> None:
    errors = [_head(codec, pix_fmt, suffix, full=full) for full in (False, True)]
    if all(errors):
        others = ", ".join(name for name in CONTAINERS if name != suffix)
        raise InputError(f"{suffix} does not take {codec}: {errors[0]}", f"Choose another codec, or of {others}.")


def _head(codec: str, pix_fmt: str, suffix: str, *, full: bool) -> str:
    """Write the head of a file into memory; returns why it cannot be written."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=CONTAINERS[suffix]) as container:
            silence_encoders()
            stream: Any = container.add_stream(codec, rate=25, options=QUIET.get(codec, {}))
            stream.width = stream.height = _SIDE
            stream.pix_fmt = pix_fmt
            stream.codec_context.color_range = 2 if full else 1
            container.start_encoding()
    except (av.FFmpegError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _check(codec: str, wanted: VideoFormat) -> str:
    """Returns a pixel format that the encoder works with."""
    formats = list(encoder_formats(codec))
    if wanted.pix_fmt is not None:
        if formats and wanted.pix_fmt not in formats:
            raise InputError(f"{codec} takes no {wanted.pix_fmt}", suggestion(wanted.pix_fmt, formats))
        formats = [wanted.pix_fmt]
    usual = [name for name in _FORMATS if name in formats]
    trial = _Trial(codec, tuple(dict.fromkeys([*usual, *formats])) or _FORMATS[:1])
    plain = trial.working({})
    if plain is None:
        raise Unavailable(
            f"the encoder {codec} does not work here",
            "It may need hardware or a driver that is missing. Choose another --codec.",
        )
    asked = _asked(wanted)
    if (low_high := _CLIPPED.get(codec)) and wanted.crf is not None:
        _check_clipped(codec, wanted.crf, *low_high)
    # Speed and quality do not depend on the format: one trial is enough, and encoders that complain do so once.
    simple = _Trial(codec, (plain.pix_fmt,))
    for name in asked.keys() & {"crf", "preset"}:
        if not simple.takes(name, asked[name]):
            raise _refusal(codec, {name: asked[name]}, _range(simple, name, asked[name]))
    opened = trial.working(asked)
    if opened is None:
        bad = {name: value for name, value in asked.items() if not trial.takes(name, value)} or asked
        raise _refusal(codec, bad, "Choose other settings.")
    if unknown := [name for name in asked if name in opened.unused]:
        raise InputError(f"{codec} has no option {unknown[0]}", f"`ffmpeg -h encoder={codec}` lists its options.")
    return opened.pix_fmt


def _asked(wanted: VideoFormat) -> dict[str, str]:
    options = {}
    if wanted.crf is not None:
        options["crf"] = f"{wanted.crf:g}"
    if wanted.preset is not None:
        options["preset"] = wanted.preset
    return options | dict(wanted.options)


def _check_clipped(codec: str, crf: float, low: int, high: int) -> None:
    if not low <= crf <= high:
        raise InputError(f"{codec} does not take crf={crf:g}", f"It takes {low} to {high}.")


@dataclass(frozen=True)
class _Trial:
    """An encoder, and the pixel formats that it is tried with until one works."""

    codec: str
    formats: tuple[str, ...]

    def working(self, options: dict[str, str]) -> _Opened | None:
        """The first format with which the encoder opens; None if there is none."""
        settings = DEFAULTS.get(self.codec, {}) | QUIET.get(self.codec, {}) | options
        for pix_fmt in self.formats:
            for full in (False, True):  # some take only one range
                if (left := _opened(self.codec, pix_fmt, settings, full=full)) is not None:
                    return _Opened(pix_fmt, left)
        return None

    def takes(self, name: str, value: str) -> bool:
        return self.working({name: value}) is not None


@dataclass(frozen=True)
class _Opened:
    """An encoder that has opened; `unused`: options that it does not know."""

    pix_fmt: str
    unused: dict[str, str]


def _opened(codec: str, pix_fmt: str, options: dict[str, str], *, full: bool) -> dict[str, str] | None:
    import av

    silence_encoders()
    context: Any = av.CodecContext.create(codec, "w")
    context.width = context.height = _SIDE
    context.pix_fmt = pix_fmt
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.color_range = 2 if full else 1
    context.options = options
    try:
        context.open()
    except av.FFmpegError:
        return None
    return dict(context.options)


def _refusal(codec: str, bad: dict[str, str], remedy: str) -> InputError:
    named = ", ".join(f"{name}={value}" for name, value in bad.items())
    return InputError(f"{codec} does not take {named}", remedy or "Choose other settings.")


def _range(trial: _Trial, name: str, value: str) -> str:
    """What an option takes, as far as trying shows it."""
    speeds = [speed for speed in _SPEEDS if trial.takes(name, speed)]
    if speeds:
        return suggestion(value, speeds)
    low, high = 0, _MOST
    if not trial.takes(name, str(low)) or trial.takes(name, str(high)):
        return ""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if trial.takes(name, str(middle)) else (low, middle)
    return f"It takes 0 to {low}."
