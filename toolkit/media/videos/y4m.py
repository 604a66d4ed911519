"""YUV4MPEG2 streams, the uncompressed video that programs pass through pipes."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from toolkit.errors import InputError, Unavailable
from toolkit.media.videos.colour import chroma_location
from toolkit.media.videos.decoding import Timed
from toolkit.media.videos.description import description
from toolkit.media.videos.encoding import Encoding
from toolkit.media.videos.pixel_formats import depth
from toolkit.system.extras import how_to_install

_BUFFER = 1 << 20
_POLL = 0.1
"""Seconds after which a reader that waits for data checks whether it is to stop."""
_SITED = {"left": "420mpeg2", "center": "420jpeg", "topleft": "420paldv"}
"""Tags of 8-bit 4:2:0 by chroma location; other formats have no tag for it."""
TAGS = {
    "yuva444p": "444alpha",
    **{f"yuv{chroma}p": str(chroma) for chroma in (420, 422, 444)},
    **{f"yuv{chroma}p{bits}le": f"{chroma}p{bits}" for chroma in (420, 422, 444) for bits in (10, 12, 14, 16)},
}
"""The C parameter by pixel format, as FFmpeg reads and writes it; for grey and 8-bit 4:2:0, see `Y4mWriter`."""


class Incoming:
    """A file descriptor as FFmpeg reads it; ends early when the run is to stop.

    Attributes:
        received: bytes so far.
        header: bytes of the first line; 0 before its end was received.
    """

    def __init__(self, descriptor: int, stopped: Callable[[], bool]) -> None:
        self._descriptor, self._stopped = descriptor, stopped
        self.received = self.header = 0

    def read(self, size: int) -> bytes:
        while not self._stopped():
            if select.select([self._descriptor], [], [], _POLL)[0]:
                content = os.read(self._descriptor, size)
                if not self.header and (end := content.find(b"\n")) >= 0:
                    self.header = self.received + end + 1
                self.received += len(content)
                return content
        return b""


@dataclass
class Y4mReader:
    """An open stream.

    Attributes:
        stream: PyAV's.
        location: of chroma, if the header says it.
        problem: why the stream ended before its end, once its frames were read; None: it did not.
    """

    stream: Any
    location: str | None
    _container: Any
    _incoming: Incoming
    problem: InputError | None = None

    def frames(self) -> Iterator[Timed]:
        """Whole frames in order, numbered from 0."""
        import av

        number, end = 0, self._incoming.header
        try:
            for packet in self._container.demux(self.stream):
                if not packet.size:
                    continue
                end = packet.pos + packet.size
                for frame in packet.decode():
                    yield Timed(number, frame)
                    number += 1
        except av.FFmpegError as error:
            self.problem = InputError(
                f"standard input is damaged after {number} frames: {error.strerror}",
                "The frames before were written. Check the program that writes to the pipe.",
            )
            return
        if self._incoming.received > end:
            self.problem = InputError(
                f"standard input ends within frame {number + 1}",
                "The whole frames before were written. Check the program that writes to the pipe.",
            )


@contextmanager
def opened_y4m(descriptor: int, stopped: Callable[[], bool]) -> Iterator[Y4mReader]:
    """Open a stream.

    Args:
        descriptor: of a pipe or a file.
        stopped: whether reading is to end before the end of the stream.

    Raises:
        InputError: it is not YUV4MPEG2.
        Unavailable: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise Unavailable(f"PyAV cannot be imported: {error}", how_to_install("video")) from error
    incoming = Incoming(descriptor, stopped)
    try:
        container = av.open(incoming, "r", format="yuv4mpegpipe", buffer_size=_BUFFER)
    except av.FFmpegError as error:
        what = "is not a YUV4MPEG2 stream that FFmpeg reads" if incoming.received else "is empty"
        raise InputError(
            f"standard input {what}",
            "Write it with `ffmpeg -i FILE -f yuv4mpegpipe -strict -1 -`; mixed progressive and interlaced frames are "
            "not supported.",
        ) from error
    with container:
        stream = container.streams.video[0]
        yield Y4mReader(stream, chroma_location(description(container, stream.index)), container, incoming)


class Y4mWriter:
    """Writes a stream to a file descriptor."""

    def __init__(self, descriptor: int, encoding: Encoding, *, grey: bool = False) -> None:
        """Write nothing yet.

        Args:
            descriptor: of a pipe or a file.
            encoding: of raw video.
            grey: write luma only.

        Raises:
            InputError: YUV4MPEG2 has no such pixel format.
        """
        if encoding.pix_fmt not in TAGS:
            raise InputError(f"YUV4MPEG2 has no pixel format {encoding.pix_fmt}", f"It has {', '.join(TAGS)}.")
        self._descriptor, self._encoding, self._grey = descriptor, encoding, grey
        self._begun = False

    def write(self, samples: bytes) -> None:
        """Write a frame: its planes one after the other, without gaps.

        Raises:
            BrokenPipeError: the reader has exited.
        """
        if not self._begun:
            self._put(self._header())
            self._begun = True
        self._put(b"FRAME\n")
        made = self._encoding
        luma = made.width * made.height * (1 if depth(made.pix_fmt) == 8 else 2)
        self._put(memoryview(samples)[:luma] if self._grey else samples)

    def _header(self) -> bytes:
        made = self._encoding
        tag, bits = TAGS[made.pix_fmt], depth(made.pix_fmt)
        if self._grey:
            tag = "mono" if bits == 8 else f"mono{bits}"
        elif made.pix_fmt == "yuv420p":
            tag = _SITED.get(made.location, "420jpeg")
        rate, aspect = (Fraction(*value) for value in (made.rate, made.aspect))
        return (
            f"YUV4MPEG2 W{made.width} H{made.height} F{rate.numerator}:{rate.denominator} Ip "
            f"A{aspect.numerator}:{aspect.denominator} C{tag} XCOLORRANGE={'FULL' if made.full else 'LIMITED'}\n"
        ).encode()

    def _put(self, content: bytes | memoryview) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
