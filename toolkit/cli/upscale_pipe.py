"""`toolkit upscale - -o -`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.console import progress_bar
from toolkit.cli.paths import STDIN, STDOUT
from toolkit.errors import InputError

if TYPE_CHECKING:
    from toolkit.media.options import UpscaleOptions
    from toolkit.media.report import UpscaleReport

_EXAMPLE = "ffmpeg -i film.mp4 -f yuv4mpegpipe - | toolkit upscale - -o - | ffmpeg -i - film_x2.mp4"


def upscale_pipe(
    files: tuple[Path, ...], output: Path | None, options: UpscaleOptions, *, preview: bool, json: bool
) -> UpscaleReport:
    """Upscale the YUV4MPEG2 stream of standard input to standard output.

    Raises:
        InputError: only one of them is a stream, one is a terminal, or an option has no meaning for streams.
    """
    from toolkit.media.piping import upscale_stream

    if files != (STDIN,) or output != STDOUT:
        raise InputError("- stands for both input and output, without other files", f"For example: {_EXAMPLE}")
    if preview or json:
        raise InputError("--preview and --json cannot be used with a stream", "Standard output holds the video.")
    for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
        if stream.isatty():
            raise InputError(f"standard {name} is a terminal, not a video", f"For example: {_EXAMPLE}")
    with _video_output() as sink, progress_bar() as progress:
        return upscale_stream(sys.stdin.fileno(), sink, options, progress=progress)


@contextmanager
def _video_output() -> Iterator[int]:
    """The descriptor of standard output; what libraries print meanwhile goes to standard error."""
    sys.stdout.flush()
    number = sys.stdout.fileno()
    video = os.dup(number)
    os.dup2(sys.stderr.fileno(), number)
    try:
        yield video
    finally:
        os.dup2(video, number)
        os.close(video)
