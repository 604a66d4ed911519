"""Check of an encoder's options before any frame is encoded, by opening the encoder with them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from toolkit.errors import InputError, ToolkitError, Unavailable, suggestion
from toolkit.media.videos.assembly import FORMATS as CONTAINERS
from toolkit.media.videos.encoding import DEFAULTS, QUIET, VideoFormat, default_codec, silence_encoders
from toolkit.media.videos.pixel_formats import encoder_formats
from toolkit.system.scheduling import unchanged_scheduling

_SIDE = 256
"""Width and height in pixels that all encoders support."""

_CLIPPED = {"libx264": (0, 51), "libx264rgb": (0, 51)}
"""Encoders that silently clamp crf to their range."""

_SPEEDS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo")
_MOST = 255
"""No encoder supports a larger crf or preset."""

_INPUTS = ("yuv420p", "yuva420p", "yuva444p12le")
"""Pixel formats of inputs for which the default encoder differs: opaque, transparent, and transparent with 12 bits."""
_FORMATS = ("yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p", "gbrp")


def check_encoder(wanted: VideoFormat, suffix: str) -> None:
    """Open the encoders that an output may need with the user's options.

    Args:
        wanted: the user's options.
        suffix: of the output.

    Raises:
        InputError: there is no such encoder, it does not support one of the options for any pixel format, or the
            container does not support the codec.
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
        raise InputError(
            f"{suffix} does not support {codec}: {errors[0]}", f"Choose another codec, or another container: {others}."
        )


def _head(codec: str, pix_fmt: str, suffix: str, *, full: bool) -> str:
    """Write a file header into memory; returns why it cannot be written, or an empty string."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=CONTAINERS[suffix]) as container:
            silence_encoders()
            stream: Any = container.add_stream(codec, rate=25, options=QUIET.get(codec, {}))
            stream.width = stream.height = _SIDE
            stream.pix_fmt = pix_fmt
            stream.codec_context.color_range = 2 if full else 1
            with unchanged_scheduling():
                container.start_encoding()
    except (av.FFmpegError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _check(codec: str, wanted: VideoFormat) -> str:
    """Open an encoder with the user's options; returns a pixel format that works."""
    formats = list(encoder_formats(codec))
    if wanted.pix_fmt is not None:
        if formats and wanted.pix_fmt not in formats:
            raise InputError(f"{codec} does not support {wanted.pix_fmt}", suggestion(wanted.pix_fmt, formats))
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
    # Speed and quality do not depend on the pixel format, so one is enough.
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
        raise InputError(f"{codec} does not support crf={crf:g}", f"It supports {low} to {high}.")


@dataclass(frozen=True)
class _Trial:
    """An encoder, and the pixel formats to try until one works."""

    codec: str
    formats: tuple[str, ...]

    def working(self, options: dict[str, str]) -> _Opened | None:
        """The first format with which the encoder opens; None if there is none."""
        settings = DEFAULTS.get(self.codec, {}) | QUIET.get(self.codec, {}) | options
        for pix_fmt in self.formats:
            for full in (False, True):  # some encoders support only one range
                if (left := _opened(self.codec, pix_fmt, settings, full=full)) is not None:
                    return _Opened(pix_fmt, left)
        return None

    def takes(self, name: str, value: str) -> bool:
        return self.working({name: value}) is not None


@dataclass(frozen=True)
class _Opened:
    """An encoder that was opened; `unused`: options that it does not have."""

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
        with _quiet_stderr(), unchanged_scheduling():
            context.open()
    except av.FFmpegError:
        return None
    return dict(context.options)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Discard what the encoder itself prints: x264 and others write to the file descriptor, past FFmpeg's log."""
    try:
        saved = os.dup(2)
    except OSError:
        yield  # stderr is closed
        return
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _refusal(codec: str, bad: dict[str, str], remedy: str) -> InputError:
    named = ", ".join(f"{name}={value}" for name, value in bad.items())
    return InputError(f"{codec} does not support {named}", remedy or "Choose other settings.")


def _range(trial: _Trial, name: str, value: str) -> str:
    """The values that an option takes, found by trying them."""
    speeds = [speed for speed in _SPEEDS if trial.takes(name, speed)]
    if speeds:
        return suggestion(value, speeds)
    low, high = 0, _MOST
    if not trial.takes(name, str(low)) or trial.takes(name, str(high)):
        return ""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if trial.takes(name, str(middle)) else (low, middle)
    return f"It supports 0 to {low}."
