"""The commands of tutorials run in their order, on a small network, small photographs and a short film."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from photographs import picture
from PIL import Image
from samples import SMALL, network, released_state, save

TUTORIALS = Path(__file__).parents[1] / "docs/tutorials"
QUICK = ("--runtime", "ort-cpu", "--workload", "64x48", "--duration", "0.1", "--no-roofline")
"""For profiles: all runtimes at 4K take minutes."""

Command = Callable[..., subprocess.CompletedProcess[str]]


def steps(tutorial: str) -> list[list[str]]:
    """The commands of a tutorial's code blocks, in words, without those between pipes."""
    text = (TUTORIALS / f"{tutorial}.md").read_text()
    return [line.split() for line in re.findall(r"^ {4,}toolkit (.*)$", text, re.M)]


def run(toolkit_command: Command, words: list[str], directory: Path) -> None:
    done = toolkit_command(*words, cwd=directory)
    assert done.returncode == 0, f"toolkit {' '.join(words)}\n{done.stderr}\n{done.stdout}"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    directory = tmp_path / "photos"
    directory.mkdir()
    for seed in range(2):
        Image.fromarray(picture(96, 96, seed)).save(directory / f"{seed}.png")
    return directory


@pytest.mark.slow
def test_ship_a_checkpoint(photos: Path, toolkit_command: Command) -> None:
    here = photos.parent
    save(here / "ckpt.pth", {"state_dict": released_state(network(SMALL))})
    commands = steps("ship")
    assert [words[0] for words in commands] == [
        *("export", "verify-fusion", "evaluate", "profile", "build", "inspect", "profile", "gate")
    ]
    for words in commands:
        # A network of another size has another name.
        named = [word.replace("rt4ksr_x2_fp32", "rt4ksr_x2_c6b2_fp32") for word in words]
        if words[0] == "gate":  # so short, times are noise
            named[-1] = "10000%"
        run(toolkit_command, [*named, *(QUICK if words[0] == "profile" else ())], here)
    assert (here / "exported/rt4ksr_x2_c6b2_fp32.native.engine/engine.so").is_file()


@pytest.mark.slow
def test_upscale_a_film(tmp_path: Path, toolkit_command: Command) -> None:
    with av.open(str(tmp_path / "holiday.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for seed in range(2):
            frame = av.VideoFrame.from_ndarray(picture(64, 96, seed), "rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    *before, resumed = steps("film")
    assert len(before) == 3
    for words in before:
        run(toolkit_command, words, tmp_path)
    (result,) = {path for path in tmp_path.glob("holiday*.mp4") if "preview" not in path.name} - {
        tmp_path / "holiday.mp4"
    }
    with av.open(str(result)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 2
        assert container.streams.video[0].height == 2160
    result.unlink()  # as if it had not been finished
    run(toolkit_command, resumed, tmp_path)
    assert result.is_file()


@pytest.mark.slow
def test_adopt_a_network(tmp_path: Path, toolkit_command: Command) -> None:
    (tmp_path / "exported").mkdir()
    (tmp_path / "model.onnx").write_bytes(released_graph())
    Image.fromarray(picture(48, 64)).save(tmp_path / "photo.png")
    ran = [words for words in steps("adopt") if words[0] in ("adopt", "convert", "upscale")]
    assert [words[0] for words in ran] == ["adopt", "convert", "upscale"]
    for words in ran:
        run(toolkit_command, words, tmp_path)
    with Image.open(tmp_path / "photo_x2.png") as large:
        assert large.size == (128, 96)


def released_graph() -> bytes:
    """The ONNX file of the toolkit's own network, whose gain over bicubic `adopt` and `convert` measure."""
    return (Path(__file__).parents[1] / "exported/rt4ksr_x2_fp32.onnx").read_bytes()
