"""A file that fails, for whatever reason, costs only itself; and what exists is kept."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from media.films import moving, write_film
from photographs import picture
from PIL import Image

from toolkit.errors import CheckFailed, InputError, OutputExists, Unavailable, UnexpectedError
from toolkit.media import batch
from toolkit.media import upscale as job
from toolkit.media.dry_run import dry_run
from toolkit.media.options import UpscaleOptions
from toolkit.media.preview import preview
from toolkit.media.upscale import upscale
from toolkit.media.videos import video_file
from toolkit.media.videos.encoding import VideoFormat
from toolkit.system.atomic import publish
from toolkit.system.progress import Counter


@pytest.fixture
def options(nearest: Path) -> UpscaleOptions:
    return UpscaleOptions(models=(nearest,), threads=1, runtime="ort-cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good pictures with two broken files between them."""
    made = tmp_path / "photos"
    made.mkdir()
    for name in ("a.png", "d.png"):
        Image.fromarray(picture(6, 8)).save(made / name)
    (made / "b.png").write_bytes((made / "a.png").read_bytes()[:60])
    (made / "c.mp4").write_text("no film")
    return made


def planted(name: str, error: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Upscaling the picture of a name raises."""
    real = job.upscale_image

    def fails(source: Path, *arguments: Any, **settings: Any) -> tuple[str, ...]:
        if source.name == name:
            raise error()
        return real(source, *arguments, **settings)

    monkeypatch.setattr(job, "upscale_image", fails)


def outcomes(report: Any) -> dict[str, str]:
    return {Path(item.source).name: item.outcome for item in report.files}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (lambda: KeyError("planted"), "KeyError: 'planted'"),
        (lambda: RuntimeError("planted"), "RuntimeError: planted"),
        (MemoryError, "there is not enough memory"),
        (lambda: OSError(5, "Input/output error"), "Input/output error"),
        (lambda: Unavailable("no such device"), "no such device"),
        (lambda: AssertionError(), "AssertionError"),
    ],
)
def test_no_error_ends_the_others(
    error: Callable[[], BaseException],
    words: str,
    folder: Path,
    options: UpscaleOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted("a.png", error, monkeypatch)
    report = upscale([folder], None, options)
    assert outcomes(report) == {"a.png": "failed", "b.png": "failed", "c.mp4": "failed", "d.png": "done"}
    assert not report.complete
    first, truncated, text, _ = report.files
    assert words in first.error
    assert "in fails" in first.traceback, "where it was raised"
    assert "b.png" in truncated.error
    assert "c.mp4" in text.error
    assert (folder.with_name("photos_x2") / "d.png").is_file()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupts_are_about_no_file(
    error: type[BaseException], folder: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted("a.png", error, monkeypatch)
    with pytest.raises(error):
        upscale([folder], None, options)


def test_a_single_files_error_is_raised(folder: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    planted("a.png", lambda: KeyError("planted"), monkeypatch)
    with pytest.raises(UnexpectedError, match=r"a\.png: KeyError: 'planted'") as caught:
        upscale([folder / "a.png"], None, options)
    assert isinstance(caught.value.__cause__, KeyError)
    assert (caught.value.exit_code, "bug in the toolkit" in caught.value.remedy) == (1, True)


def test_existing_outputs_are_kept_and_named(folder: Path, options: UpscaleOptions) -> None:
    home = folder.with_name("photos_x2")
    home.mkdir()
    (home / "a.png").write_bytes(b"a good file")
    report = upscale([folder], None, options)
    assert outcomes(report) == {"a.png": "exists", "b.png": "failed", "c.mp4": "failed", "d.png": "done"}
    assert (home / "a.png").read_bytes() == b"a good file"
    assert "--overwrite" in report.files[0].remedy
    with pytest.raises(OutputExists, match=r"d\.png exists"):
        upscale([folder / "d.png"], home, options)
    upscale([folder / "d.png"], home, replace(options, overwrite=True))
    again = upscale([folder], None, replace(options, overwrite=True))
    assert outcomes(again)["a.png"] == "done"
    assert Image.open(home / "a.png").size == (16, 12)


@pytest.mark.parametrize("name", ["out.png", "out.jpg", "out.mkv"])
def test_an_output_that_appears_during_the_work_is_kept(
    name: str, tmp_path: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another program, or a second run, writes it: both are told apart in the moment of renaming."""
    output = tmp_path / name
    if name.endswith(".mkv"):
        source = write_film(tmp_path / "in.mkv", moving(2), codec="ffv1")
    else:
        source = tmp_path / "in.png"
        Image.fromarray(picture(6, 8)).save(source)
    real = batch.require_free

    def free(*arguments: Any) -> None:
        real(*arguments)
        output.write_bytes(b"another's")

    monkeypatch.setattr(batch, "require_free", free)
    with pytest.raises(OutputExists, match=f"{name} exists"):
        upscale([source], output, options)
    assert output.read_bytes() == b"another's"
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize("links", [True, False])
def test_publishing_never_replaces_unasked(links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On file systems without hard links too."""
    if not links:

        def refuses(*_arguments: Any) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", refuses)
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_text("new")
    publish(new, old, overwrite=False)
    assert (old.read_text(), new.exists()) == ("new", False)
    new.write_text("newer")
    with pytest.raises(OutputExists):
        publish(new, old, overwrite=False)
    assert old.read_text() == "new"
    publish(new, old, overwrite=True)
    assert old.read_text() == "newer"


def test_a_preview_overwrites_nothing(tmp_path: Path, options: UpscaleOptions) -> None:
    Image.fromarray(picture(6, 8)).save(tmp_path / "a.png")
    film = write_film(tmp_path / "b.mp4", moving(2))
    for name in ("a_preview.png", "b_preview.png"):
        (tmp_path / name).write_bytes(b"a good file")
    report = preview([tmp_path / "a.png", film], None, options)
    assert outcomes(report) == {"a.png": "exists", "b.mp4": "exists"}
    assert not (tmp_path / "b_preview.mp4").exists()
    film.rename(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.png and .*a\.mp4 would both be written to .*a_preview\.png"):
        preview([tmp_path / "a.png", tmp_path / "a.mp4"], None, options)


def test_frames_that_all_have_one_time(tmp_path: Path, options: UpscaleOptions) -> None:
    """As programs write that set no times: the container counts more frames than a preview of some seconds decodes."""
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        video: Any = container.add_stream("libx264", 24, options={"crf": "5", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for frame in moving(6):
            made = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p")
            for packet in video.encode(made):
                packet.pts = packet.dts = 0
                container.mux(packet)
    with av.open(str(film)) as container:
        assert {packet.pts for packet in container.demux(video=0) if packet.size} == {0}, "or nothing is tested"
    with pytest.raises(CheckFailed, match="6 frames, but 1 were written") as failed:
        preview([film], None, options)
    assert "another container" in failed.value.remedy
    assert upscale([film], None, options).files[0].frames == 6
    (tmp_path / "film_x2.mp4").unlink()
    (planned,) = dry_run([film], None, options).files
    assert (planned.frames, planned.error) == (6, "")


def test_parts_keep_what_is_not_theirs(tmp_path: Path) -> None:
    from toolkit.media.videos.parts import Parts

    parts = Parts.beside(tmp_path / "a.mp4")
    parts.begin({"job": 1}, resume=False)
    (parts.directory / "000000.part").write_bytes(b"hours of work")
    (parts.directory / "mine.txt").write_text("a letter")
    with pytest.raises(InputError, match="1 finished parts") as caught:
        parts.begin({"job": 1}, resume=False)
    assert "--overwrite" in caught.value.remedy
    assert parts.begin({"job": 1}, resume=True) == {0}
    assert parts.begin({"job": 1}, resume=False, overwrite=True) == set()
    parts.remove()
    assert [path.name for path in parts.directory.iterdir()] == ["mine.txt"]


def test_stopped_files_of_others_are_kept(tmp_path: Path) -> None:
    from toolkit.media.videos.parts import Parts

    parts, stopped = Parts.beside(tmp_path / "a.mp4"), tmp_path / "a.stopped.mp4"
    parts.begin({"job": 1}, resume=False)
    stopped.write_bytes(b"another's")
    assert not parts.claims(stopped)
    parts.claim(stopped)
    assert parts.claims(stopped)
    stopped.write_bytes(b"changed since")
    assert not parts.claims(stopped)


def test_stopping_again_replaces_only_its_own_file(
    tmp_path: Path, options: UpscaleOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A playable file from before is another's until this job has written it; then the next stop replaces it."""
    source = write_film(tmp_path / "in.mkv", moving(60), codec="ffv1", options={"g": "1"})
    monkeypatch.setattr(video_file, "SEGMENT_SECONDS", 0.15)
    monkeypatch.setattr(job, "Counter", _StopsAt)
    lossless = replace(options, video=VideoFormat("ffv1"))
    (tmp_path / "out.stopped.mkv").write_bytes(b"another's")
    outputs = []
    for _StopsAt.frame in (6, 6):
        (report,) = upscale([source], tmp_path / "out.mkv", replace(lossless, resume=bool(outputs))).files
        assert report.outcome == "stopped"
        outputs.append((Path(report.output).name, report.frames))
    assert (tmp_path / "out.stopped.mkv").read_bytes() == b"another's"
    assert {name for name, _ in outputs} == {"out.stopped-2.mkv"}
    assert outputs[0][1] < outputs[1][1] < 60
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.stopped-2.mkv", "out.stopped.mkv"]
    _StopsAt.frame = 1000
    (report,) = upscale([source], tmp_path / "out.mkv", replace(lossless, resume=True)).files
    assert (report.outcome, report.frames) == ("done", 60)
    # Its content is in the result now; the other one's is not.
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.mkv", "out.stopped.mkv"]


class _StopsAt(Counter):
    """Ctrl-C after a number of frames."""

    frame = 0

    def finish(self, activity: str, count: int = 1) -> None:
        super().finish(activity, count)
        if self.done == self.frame:
            signal.raise_signal(signal.SIGINT)
