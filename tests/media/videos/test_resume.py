"""Segments: resumed, stopped, and shared by processes, with the same result."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from media.films import done, moving, packets, plane, read_film, write_film

from toolkit.errors import InputError, OutputExists, UnexpectedError
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos import video_file
from toolkit.media.videos.decoding import Damage, Decoding, decoded
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.video_file import read_video
from toolkit.system.progress import Progress


def test_segments_resume_to_the_same_file(tmp_path: Path, options: UpscaleOptions, short_segments: None) -> None:
    """A run that dies between segments, and one that goes on from what is left."""
    from toolkit.media.videos import run

    source = write_film(tmp_path / "in.mp4", moving(20), sound=True)
    encoded = replace(options, video=VideoFormat())
    done(source, tmp_path / "whole.mp4", encoded)
    count = len(read_video(source).segments)
    assert count == 4

    class Killed(Exception):
        pass

    taken = run.VideoRun.take

    def dies(self: run.VideoRun, part: Any) -> None:
        taken(self, part)
        if part.number == 1:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.VideoRun, "take", dies)
        with pytest.raises(UnexpectedError, match="Killed") as caught:
            upscale([source], tmp_path / "out.mp4", encoded)
    assert isinstance(caught.value.__cause__, Killed)
    assert "2 of 4 parts are done, and --resume continues" in caught.value.remedy
    assert not (tmp_path / "out.mp4").exists()
    with pytest.raises(InputError, match="2 finished parts of a run that was interrupted"):
        upscale([source], tmp_path / "out.mp4", encoded)
    for other in replace(encoded, video=VideoFormat(crf=3)), replace(encoded, chroma="lanczos"):
        with pytest.raises(InputError, match="another job"):
            upscale([source], tmp_path / "out.mp4", replace(other, resume=True))
    report = done(source, tmp_path / "out.mp4", replace(encoded, resume=True))
    assert report.frames == 20
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_stopping_leaves_a_playable_file(
    tmp_path: Path, options: UpscaleOptions, short_segments: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C does it, in the middle of the third segment; and going on makes the whole file."""
    import signal

    source = write_film(tmp_path / "in.mp4", moving(20), sound=True)
    done(source, tmp_path / "whole.mp4", replace(options, video=VideoFormat()))
    encoded = replace(options, video=VideoFormat())
    (tmp_path / "out.mp4").write_bytes(b"a good file")
    steps = 0

    def progress(_: Progress) -> None:
        nonlocal steps
        steps += 1
        if steps == 7:
            signal.raise_signal(signal.SIGINT)

    report = upscale([source], tmp_path / "out.mp4", replace(encoded, overwrite=True), progress=progress)
    assert report.stopped
    assert report.files[0].output == str(tmp_path / "out.stopped.mp4")
    frames = read_film(tmp_path / "out.stopped.mp4")
    whole = read_film(tmp_path / "whole.mp4")
    assert 7 <= len(frames) < 20
    assert [time for time, _ in frames] == [time for time, _ in whole[: len(frames)]]
    assert packets(tmp_path / "out.stopped.mp4", "audio")[-1][0] <= frames[-1][0] + Fraction(1, 25)
    assert (tmp_path / "out.mp4").read_bytes() == b"a good file"
    resumed = replace(encoded, resume=True)
    with pytest.raises(OutputExists, match=r"out\.mp4 exists"):
        upscale([source], tmp_path / "out.mp4", resumed)
    (report_2,) = upscale([source], tmp_path / "out.mp4", replace(resumed, overwrite=True)).files
    assert report_2.outcome == "done"
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "codec", "settings"),
    [
        ("closed.mp4", "libx264", {}),
        ("open.mp4", "libx264", {"x264-params": "open-gop=1:keyint=6:bframes=3"}),
        ("open.ts", "libx264", {"x264-params": "open-gop=1:keyint=6:bframes=3"}),
        ("hidden.webm", "libvpx", {}),
    ],
)
def test_segments_decoded_alone_are_those_of_the_whole(
    name: str, codec: str, settings: dict[str, str], tmp_path: Path, short_segments: None
) -> None:
    """Frames before an open key frame belong to the segment before it; not all containers have an index."""
    video = read_video(write_film(tmp_path / name, moving(30), codec=codec, options=settings))
    assert len(video.segments) > 3

    def frames(segments: tuple[video_file.Segment, ...]) -> list[tuple[int, bytes]]:
        return [
            (timed.pts, plane(timed.frame, 0).tobytes())
            for _, made in decoded(video, segments, Decoding(), Damage())
            for timed in made
        ]

    whole = frames(video.segments)
    assert [pts for pts, _ in whole] == list(video.times)
    assert [frame for segment in video.segments for frame in frames((segment,))] == whole


def test_jobs_give_the_same_file(tmp_path: Path, options: UpscaleOptions) -> None:
    long = write_film(tmp_path / "long.mp4", moving(4), times=[0, 260, 520, 780], options={"g": "1"})
    encoded = replace(options, video=VideoFormat())
    assert len(read_video(long).segments) == 4
    done(long, tmp_path / "one.mp4", encoded)
    done(long, tmp_path / "two.mp4", replace(encoded, jobs=2))
    assert (tmp_path / "two.mp4").read_bytes() == (tmp_path / "one.mp4").read_bytes()
