"""Commands in the documentation are accepted by the program's own parser; Python in it runs."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from cyclopts import CycloptsError
from photographs import picture
from PIL import Image
from samples import SMALL, network, released_state, save

import toolkit
from toolkit.artifact import Artifact
from toolkit.cli import _COMMANDS, _app, _with_streams
from toolkit.errors import ToolkitError

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/tutorials/*.md")])
NAMES = {name for commands in _COMMANDS.values() for name in commands}


@dataclass(frozen=True)
class Shown:
    """A command as a page shows it."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: toolkit {' '.join(self.words)}"


def commands(text: str, page: str) -> Iterator[Shown]:
    """The commands of a page's code blocks, also those between pipes. Comments are left out."""
    for line in re.findall(r"^(?: {4}|\$ )(.*\btoolkit .*)$", text, re.MULTILINE):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in (*lexer, "|"):
            if set(word) <= set("|&;"):
                if words[:1] == ["toolkit"]:
                    yield Shown(page, tuple(words[1:]))
                words = []
            else:
                words.append(word)


def shown() -> list[Shown]:
    return [item for page in PAGES for item in commands(page.read_text(), str(page.relative_to(ROOT)))]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that looks like an engine bundle to whatever only looks at names."""
    directory = tmp_path_factory.mktemp("bundle") / "a.native.engine"
    directory.mkdir()
    (directory / "engine.json").write_text("{}")
    return directory


def provide(word: str, artifact: Path, engine: Path) -> None:
    """Create what a word may name, in the working directory: an artifact, an engine, another file, or images."""
    path = Path(word.partition("@")[0])
    if word.startswith("-") or path.exists() or path.is_absolute():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".engine":
        shutil.copytree(engine, path)
    elif path.suffix == ".onnx":
        for suffix in (".onnx", ".json"):
            shutil.copy(artifact.with_suffix(suffix), path.with_suffix(suffix))
    elif path.suffix:
        path.touch()
    else:
        path.mkdir()
        (path / "picture.png").touch()


def parse(words: tuple[str, ...]) -> None:
    """As the program does, up to the call of the command. Raises what it raises."""
    arguments = _with_streams(list(words))
    _app(arguments).parse_args(arguments, exit_on_error=False, print_error=False)


def test_the_parser_refuses_what_is_wrong(
    small_artifact: Artifact, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next test could not fail."""
    monkeypatch.chdir(tmp_path)
    for line in (
        "toolkit upscale a.png --frobnicate",
        "toolkit upscal a.png",
        "toolkit convert a.onnx",
        "toolkit convert a.onnx --precision fp16 --method middling",
        "toolkit build a.pth --runtime native",
    ):
        (item,) = commands(f"    {line}", "here")
        for word in item.words[1:]:
            provide(word, small_artifact.path, engine)
        with pytest.raises((CycloptsError, ToolkitError)):
            parse(item.words)
    with pytest.raises(ToolkitError):
        parse(("inspect", "missing.onnx"))


@pytest.mark.parametrize("item", shown(), ids=str)
def test_commands_are_accepted(
    item: Shown, small_artifact: Artifact, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert item.words[0] in NAMES | {"--help", "--version", "--install-completion"}
    for word in item.words[1:]:
        provide(word, small_artifact.path, engine)
    parse(item.words)


def test_most_commands_are_shown() -> None:
    assert {item.words[0] for item in shown()} >= NAMES - {"inspect", "doctor", "presets"}


def blocks(language: str) -> dict[str, str]:
    """Fenced code blocks, by page and number."""
    found = ((page, re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)) for page in PAGES)
    return {f"{page.relative_to(ROOT)} {number}": code for page, codes in found for number, code in enumerate(codes)}


ELSEWHERE = {"docs/clients.md 0": "tests/native/test_vapoursynth.py"}
"""Blocks that need other programs, and the tests that run the same."""


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(blocks("python").keys() - ELSEWHERE.keys()))
def test_python_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files and arrays that pages name are there: a checkpoint, photographs, a film, an image, a frame."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "ckpt.pth", {"state_dict": released_state(network(SMALL))})
    (tmp_path / "photos").mkdir()
    Image.fromarray(picture(96, 96)).save(tmp_path / "photos/one.png")
    with av.open("holiday.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(64, 96), "rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode())
    # The same functions, for less time.
    quick = toolkit.ProfileOptions(duration=0.1, roofline=False)
    monkeypatch.setattr(toolkit, "profile", partial(toolkit.profile, options=quick, baseline=False))
    monkeypatch.setattr(toolkit, "verify_fusion", partial(toolkit.verify_fusion, full_frame=False))
    given = {"image": picture(48, 64), "frame": np.zeros((1, 3, 1080, 1920), np.float32)}
    exec(compile(blocks("python")[name], name, "exec"), given)


def test_code_that_other_tests_run() -> None:
    for name, test in ELSEWHERE.items():
        assert (function := re.search(r"core\.(\w+\.\w+)\(clip", blocks("python")[name])) is not None
        assert function[1] in (ROOT / test).read_text()


def test_c_functions_are_those_of_the_engine() -> None:
    """`example.c` of every bundle is compiled and run by tests/native; this is about the shorter form of the page."""
    (code,) = blocks("c").values()
    called = re.findall(r"rt4ksr_x2_fp32(_\w+)\(", code)
    header = (ROOT / "toolkit/native/c/engine.h").read_text()
    assert len(called) == 5
    assert all(f"@SYMBOL@{name}(" in header for name in called)
