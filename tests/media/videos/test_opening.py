"""Media files are opened as local files, whatever their names and contents say."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from media.films import moving, read_film, write_film
from media.nearest import nearest_artifact

from toolkit.errors import InputError
from toolkit.media.options import UpscaleOptions
from toolkit.media.upscale import upscale
from toolkit.media.videos.encoding import VideoFormat
from toolkit.media.videos.opening import opened


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> UpscaleOptions:
    nearest = nearest_artifact(tmp_path_factory.mktemp("nearest")).path
    return UpscaleOptions(models=(nearest,), runtime="ort-cpu", threads=1, video=VideoFormat(preset="ultrafast"))


@pytest.mark.parametrize("name", ["Film: one.mp4", "http:film.mp4", "-film.mp4", "film%03d.mp4", "[a]|?&#.mp4"])
def test_names_are_names(name: str, tmp_path: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of inputs and outputs, absolute and relative; `http:` and `Film:` are protocols to FFmpeg."""
    write_film(tmp_path / "plain.mp4", moving(2)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    (report,) = upscale([Path(name)], Path(f"x2 {name}"), options).files
    assert (report.outcome, report.frames) == ("done", 2)
    (tmp_path / f"x2 {name}").rename(tmp_path / "result.mp4")
    assert len(read_film(tmp_path / "result.mp4")) == 2
    assert {path.name for path in tmp_path.iterdir()} == {name, "result.mp4"}


_HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n"
_DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1" mimeType="video/mp4" bandwidth="1"><BaseURL>{name}</BaseURL></Representation>'
    "</AdaptationSet></Period></MPD>"
)


@pytest.mark.parametrize("text", ["ffconcat version 1.0\nfile {name}\n", _HLS, _DASH, "file '{name}'\n"])
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".ts"])
def test_lists_of_files_are_not_followed(text: str, suffix: str, tmp_path: Path, options: UpscaleOptions) -> None:
    """A text that names another file, whatever its own name is, must not show what is in the other."""
    write_film(tmp_path / "secret.ts", moving(2))
    source = tmp_path / f"list{suffix}"
    source.write_text(text.format(name="secret.ts"))
    with pytest.raises(InputError, match=r"cannot read video .*list"):
        upscale([source], tmp_path / "out.mkv", options)
    assert not (tmp_path / "out.mkv").exists()


def test_refusal_of_a_list_says_what_to_give(tmp_path: Path) -> None:
    source = tmp_path / "list.mp4"
    source.write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(InputError, match="not a video container") as caught, opened(source):
        pass
    assert "concat" in caught.value.remedy


def test_the_list_of_demuxers_is_of_this_ffmpeg_and_has_none_that_opens_more() -> None:
    """FFmpeg's demuxers that open files or addresses which a file names."""
    from toolkit.media.videos.opening import _DEMUXERS

    assert not {"concat", "hls", "dash", "imf", "image2", "sdp", "rtsp", "rtp", "lavfi", "vobsub"} & set(_DEMUXERS)
    assert len(set(_DEMUXERS)) == len(_DEMUXERS)
    assert set(_DEMUXERS) <= av.formats_available
