"""Recordings that were joined, each with a clock of its own: one clock comes out, for all streams."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media.films import decoded_luma, moving, read_film, write_film
from media.nearest import nearest_artifact

from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos import video_file
from toolkit.media.videos.clock import Clock, Epochs
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.video_file import read_video

FRAMES = 15
WRAP = Fraction(2**33, 90000)
"""Seconds after which the clock of MPEG-TS begins again."""


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1, video=VideoFormat(codec="ffv1"))


def joined(path: Path, starts: list[float], *, sound: bool | str, **settings: Any) -> Path:
    """Recordings that begin at those times, in seconds, one file after the other."""
    content = b""
    for number, start in enumerate(starts):
        one = path.with_name(f"{number}{path.suffix}")
        write_film(one, moving(FRAMES), sound=sound, muxer={"output_ts_offset": str(start)}, **settings)
        content += one.read_bytes()
    path.write_bytes(content)
    return path


def heard(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(container.streams.audio[0]) if packet.size]
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets if packet.pts is not None]


JOINTS = [
    ([0, 0], "the same clock again"),
    ([0, 0, 0], "twice"),
    ([0, 3600], "later"),
    ([3600, 0], "earlier"),
    ([50000, 10, 20000.5], "any"),
    ([float(WRAP) - 1, float(WRAP) - 1], "close to the end of the clock"),
    ([float(WRAP) - 0.3], "over the end of the clock"),
    ([0, float(WRAP) - 0.3], "over its end in the second"),
]


@pytest.mark.parametrize(("starts", "what"), JOINTS, ids=[item[1] for item in JOINTS])
@pytest.mark.parametrize("sound", [False, True], ids=["silent", "with sound"])
def test_joined_recordings(
    starts: list[float], what: str, sound: bool, tmp_path: Path, options: UpscaleOptions
) -> None:
    """No frame and no packet of sound is lost, and within each recording sound is as far from its frames as it was."""
    source = joined(tmp_path / "in.ts", starts, sound=sound)
    output = tmp_path / "out.mkv"
    (report,) = upscale([source], output, options).files
    assert (report.outcome, report.frames) == ("done", FRAMES * len(starts))
    times = [time for time, _ in read_film(output)]
    steps = np.diff([float(time) for time in times]).reshape(-1)
    within = np.delete(steps, [FRAMES * number - 1 for number in range(1, len(starts))])
    np.testing.assert_allclose(within, 0.04, atol=0.0011)
    # Where a recording's sound is longer than its frames, the next frame waits for it.
    assert all(0.039 <= step < (0.09 if sound else 0.041) for step in steps), steps
    assert times[0] < Fraction(1, 20)
    if not sound:
        return
    after = heard(output)
    assert all(later > earlier for (earlier, _), (later, _) in itertools.pairwise(after))
    singles = [heard(tmp_path / f"{number}.ts") for number in range(len(starts))]
    assert [data for _, data in after] == [data[7:] for single in singles for _, data in single]
    place = 0
    for number, single in enumerate(singles):
        frames = read_film(tmp_path / f"{number}.ts")
        lag = single[0][0] - frames[0][0]
        assert abs(after[place][0] - times[FRAMES * number] - lag) <= Fraction(2, 1000)
        place += len(single)


def test_joined_program_streams(tmp_path: Path, options: UpscaleOptions) -> None:
    source = joined(tmp_path / "in.mpg", [0, 0], sound="mp2", codec="mpeg2video")
    (report,) = upscale([source], tmp_path / "out.mp4", replace(options, video=VideoFormat())).files
    assert (report.outcome, report.frames) == ("done", 2 * FRAMES)
    times = [time for time, _ in read_film(tmp_path / "out.mp4")]
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert Fraction(29, 25) <= times[-1] - times[0] < Fraction(29, 25) + Fraction(1, 10)


def test_segments_and_duration_on_the_corrected_clock(
    tmp_path: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_file, "SEGMENT_SECONDS", 0.15)
    source = joined(tmp_path / "in.ts", [100, 0], sound=True)
    video = read_video(source)
    assert len(video.segments) > 4

    whole = decoded_luma(video, video.segments)
    assert [pts for pts, _ in whole] == list(video.times)
    assert [frame for segment in video.segments for frame in decoded_luma(video, (segment,))] == whole
    cut = replace(options, duration=0.84)
    (report,) = upscale([source], tmp_path / "out.mkv", cut).files
    shown = [pts for pts in video.times if (pts - video.times[0]) * video.time_base < Fraction(84, 100)]
    assert report.frames == len(shown) > FRAMES
    assert abs(heard(tmp_path / "out.mkv")[-1][0] - Fraction(84, 100)) < Fraction(1, 10)


SECOND = 90000
VIDEO = SimpleNamespace(index=0, type="video", time_base=Fraction(1, SECOND), average_rate=25, guessed_rate=25)
SOUND = SimpleNamespace(index=1, type="audio", time_base=Fraction(1, SECOND))
WORDS = SimpleNamespace(index=2, type="subtitle", time_base=Fraction(1, SECOND))


def packet(stream: Any, time: int, duration: int) -> Any:
    return SimpleNamespace(stream_index=stream.index, pts=time, dts=time, duration=duration, size=1)


def corrected(packets: list[Any]) -> dict[int, list[int]]:
    """Times after the correction, by stream."""
    epochs = Epochs([VIDEO, SOUND, WORDS], jumps_ahead=True)
    for item in packets:
        epochs.take(item)
    clock: Clock = epochs.clock(0, from_zero=True)
    container = SimpleNamespace(
        format=SimpleNamespace(name="mpegts"), demux=lambda _: iter([SimpleNamespace(**vars(item)) for item in packets])
    )
    times: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for item in clock.packets(container, []):  # type: ignore[arg-type]
        times[item.stream_index].append(item.pts or 0)
    return times


def test_a_stream_that_pauses_stays_on_its_clock() -> None:
    """Subtitles an hour apart and sound that is missing for half a minute; nothing is moved."""
    video = [packet(VIDEO, number * SECOND, SECOND) for number in range(4000)]
    sound = [packet(SOUND, number * SECOND, SECOND) for number in range(4000) if not 100 < number < 130]
    words = [packet(WORDS, number * SECOND, SECOND) for number in (0, 3600)]
    packets = sorted([*video, *sound, *words], key=lambda item: item.pts)
    assert corrected(packets) == {
        index: [item.pts for item in packets if item.stream_index == index] for index in range(3)
    }


def test_a_packet_with_a_wrong_time_moves_nothing_else() -> None:
    """One of sound says an hour later; what follows is where it was."""
    video = [packet(VIDEO, number * SECOND, SECOND) for number in range(100)]
    sound = [packet(SOUND, number * SECOND, SECOND) for number in range(100)]
    sound[50].pts = sound[50].dts = 3600 * SECOND
    times = corrected([item for pair in zip(video, sound, strict=True) for item in pair])
    assert times == {
        0: [number * SECOND for number in range(100)],
        1: [number * SECOND for number in range(100)],
        2: [],
    }


PICTURE, BLOCK = SECOND // 2, SECOND // 4


def interleaved(clocks: list[int], seconds: int, lag: int, late: int) -> list[Any]:
    """Recordings in a file; the last packets of sound come after the first ones of the next recording's video."""
    packets: list[Any] = []
    held: list[Any] = []
    for start in clocks:
        begin = start + 2 * SECOND
        video = [packet(VIDEO, begin + number * PICTURE, PICTURE) for number in range(2 * seconds)]
        sound = [packet(SOUND, begin + lag + number * BLOCK, BLOCK) for number in range(4 * seconds)]
        rest = sorted([*video[late:], *sound[: 4 * seconds - late]], key=lambda item: item.dts)
        packets += [*video[:late], *held, *rest]
        held = sound[4 * seconds - late :]
    return packets + held


@given(
    clocks=st.lists(st.integers(0, 90_000 * SECOND), min_size=1, max_size=4),
    seconds=st.integers(15, 40),
    lag=st.integers(-SECOND, SECOND),
    late=st.integers(0, 4),
)
def test_any_clocks_become_one(clocks: list[int], seconds: int, lag: int, late: int) -> None:
    times = corrected(interleaved(clocks, seconds, lag, late))
    for index, step in ((0, PICTURE), (1, BLOCK)):
        assert all(later - earlier >= step for earlier, later in itertools.pairwise(times[index]))
    count, sounds = 2 * seconds, 4 * seconds
    assert min(times[0][0], times[1][0]) in range(3600)
    for number in range(len(clocks)):
        assert times[1][number * sounds] - times[0][number * count] == lag
        assert times[0][(number + 1) * count - 1] - times[0][number * count] == (count - 1) * PICTURE
    assert max(times[0][-1], times[1][-1]) <= len(clocks) * (seconds + 13) * SECOND, "a pause is at most ten seconds"


def ogg(path: Path, number: int, frames: list[Any], *, sound: bool | str = False) -> bytes:
    made = path / f"{number}.ogv"
    write_film(made, frames, codec="libvpx", sound=sound, muxer_name="ogg", muxer={"serial_offset": str(10 * number)})
    return made.read_bytes()


def test_chained_ogg(tmp_path: Path, options: UpscaleOptions) -> None:
    """The headers of the second recording are no frames: none is lost, and none is taken for damaged."""
    frames = moving(FRAMES), moving(FRAMES)[::-1]
    source = tmp_path / "in.ogv"
    source.write_bytes(b"".join(ogg(tmp_path, number, one) for number, one in enumerate(frames)))
    (report,) = upscale([source], tmp_path / "out.mkv", options).files
    assert (report.outcome, report.frames, report.corrupt) == ("done", 2 * FRAMES, 0)
    expected = [luma for number in (0, 1) for _, luma in read_film(tmp_path / f"{number}.ogv")]
    made = read_film(tmp_path / "out.mkv")
    assert [time for time, _ in made] == [Fraction(number, 25) for number in range(2 * FRAMES)]
    for (_, luma), before in zip(made, expected, strict=True):
        # The square that moves is where it was; the way through RGB costs a level or two.
        assert np.abs(luma[::2, ::2].astype(int) - before).mean() < 3


def test_chained_ogg_with_sound_is_cut_off(tmp_path: Path, options: UpscaleOptions) -> None:
    """FFmpeg does not read on where several streams begin again; that is said."""
    source = tmp_path / "in.ogv"
    content = [ogg(tmp_path, number, moving(FRAMES), sound="libopus") for number in (0, 1)]
    source.write_bytes(b"".join(content))
    (report,) = upscale([source], tmp_path / "out.mkv", options).files
    assert report.frames == FRAMES
    assert any("in.ogv is cut off: FFmpeg cannot read what follows" in note for note in report.notes)
