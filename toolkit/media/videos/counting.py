"""Check that the output has as many frames as the input, counted independently of decoding and encoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import CheckFailed
from toolkit.media.videos.encoding import Part
from toolkit.media.videos.opening import opened
from toolkit.media.videos.times import count_frames
from toolkit.media.videos.video_file import VideoFile


@dataclass(frozen=True)
class FrameCount:
    """Numbers of frames of a whole video.

    Attributes:
        expected: frames of the input, without corrupt ones that were left out on request.
        encoded: frames that the encoder returned.
        empty: packets of the input without a frame to show.
    """

    expected: int
    encoded: int
    empty: int = 0

    @property
    def notes(self) -> list[str]:
        """Notes for the report."""
        return [f"packets of the video that gave no frame: {self.empty}"] if self.empty else []

    def check(self, source: Path, output: Path) -> None:
        """Compare both numbers.

        Args:
            source: path of the input.
            output: path of the output.

        Raises:
            CheckFailed: they differ.
        """
        if self.encoded != self.expected:
            raise CheckFailed(
                f"{source} has {self.expected} frames, but {self.encoded} were written: see {output}",
                "The times in the file are damaged. Copying the video into another container may repair them.",
            )


def frame_count(video: VideoFile, parts: Sequence[Part]) -> FrameCount:
    """Compare the decoded and encoded frames with those of the file.

    Usually every packet of a video is a frame. If the decoder returned another number, the file is decoded again from
    start to end, without seeking and without regard to times, and the frames are counted.
    """
    tallies = [part.tally for part in parts]
    decoded = sum(tally.decoded for tally in tallies)
    expected, encoded = sum(tally.expected for tally in tallies), sum(part.frames for part in parts)
    promised = len(video.times)
    if decoded + sum(tally.absent for tally in tallies) == promised:
        return FrameCount(expected, encoded)
    held = count_frames(video.path, video.stream, video.timing)
    if not any(tally.corrupt for tally in tallies):
        return FrameCount(held, encoded, max(0, promised - held))
    # How a decoder conceals damage depends on where it starts.
    return FrameCount(max(expected, expected + held - decoded), encoded)


def check_written(path: Path, output: Path, frames: int) -> None:
    """Count the video packets of a finished file.

    Args:
        path: of the file.
        output: its final path, for messages.
        frames: packets that were written.

    Raises:
        CheckFailed: the file holds another number.
    """
    with opened(path) as container:
        held = sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
    if held != frames:
        raise CheckFailed(
            f"{output}: {frames} video packets were written, but the file has {held}",
            "Choose another container or codec.",
        )
