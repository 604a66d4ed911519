"""Checks of a video before its frames are upscaled: fields, depth, and size of the result."""

from __future__ import annotations

from toolkit.errors import InputError
from toolkit.media.target import Target
from toolkit.media.videos.video_file import VideoFile
from toolkit.runtimes.subject import Subject
from toolkit.workloads import Shape


def check_progressive(video: VideoFile, *, deinterlace: bool) -> None:
    """Raise InputError if the first frame is interlaced and will not be deinterlaced."""
    if video.interlaced and not deinterlace:
        raise InputError(
            f"{video.path} is interlaced: its lines are from two points in time, and would be "
            "upscaled with comb artifacts",
            "Give --deinterlace.",
        )


def check_depth(video: VideoFile, subject: Subject) -> None:
    """Raise InputError if the network takes fewer bits than the video has."""
    if video.depth > 8 and not subject.contract.deep:
        raise InputError(
            f"{video.path} has {video.depth} bits per sample, and {subject.name} takes 8",
            "Use an artifact with float input and output (`toolkit export` without --io uint8).",
        )


def enlarged(video: VideoFile, target: Target) -> tuple[int, Shape, list[str]]:
    """The network's scale, the size of the result, and notes about it.

    Raises:
        InputError: the video is not smaller than the target, or no network reaches it.
    """
    try:
        return *target.result(video.upright), [*filter(None, [target.note(video.upright)])]
    except InputError as error:
        raise InputError(f"{video.path}: {error.args[0]}", error.remedy) from error
