"""`rt4ksr.toml`: where it is looked for, what it may say, and what takes precedence."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cyclopts import App

from toolkit.cli import _function
from toolkit.defaults import FILE, OPTIONS, Default, read_defaults
from toolkit.diagnosis import diagnose
from toolkit.errors import InputError

DOCUMENTATION = (Path(__file__).parents[1] / "docs/commands.md").read_text()
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, below a home directory without defaults."""
    directory = tmp_path / "home" / "project"
    directory.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(directory)
    return directory


def found() -> dict[tuple[str, str], str]:
    return {(item.command, item.option): item.value for item in read_defaults()}


def test_every_option_exists_and_is_not_required() -> None:
    wanted = {(name, option) for options in OPTIONS.values() for option, names in options.items() for name in names}
    for command in {name for name, _ in wanted}:
        app = App(name=command)
        app.default(_function(command))
        arguments = {item.name: item for item in app.assemble_argument_collection()}
        for option in (option for name, option in wanted if name == command):
            assert not arguments[option].required


def test_the_documentation_lists_them(project: Path) -> None:
    rows = re.findall(r"^\|(?: `(\w+)`[^|]*)? \| `(--\w+)` \| (.*) \|$", DOCUMENTATION, re.M)
    listed: dict[str, dict[str, tuple[str, ...]]] = {}
    name = ""
    for key, option, commands in rows:
        name = key or name  # a key with two options has two rows
        listed.setdefault(name, {})[option] = tuple(re.findall(r"`([a-z-]+)`", commands))
    assert listed == OPTIONS
    (project / FILE).write_text(re.findall(r"```toml\n(.*?)```", DOCUMENTATION, re.S)[0])
    assert found()["upscale", "--precision"] == "bf16"
    assert found()["export", "--output"] == "models"


def test_the_nearest_file_and_the_table_of_a_command_take_precedence(project: Path) -> None:
    users = project.parent / ".config/rt4ksr-toolkit"
    users.mkdir(parents=True)
    (users / FILE).write_text('runtime = "native"\nthreads = 3\n[rank]\nthreads = 7\n')
    (project.parent / FILE).write_text("threads = 1\n")
    (project / FILE).write_text("threads = 2\n[upscale]\nthreads = 4\n")
    assert found()["upscale", "--threads"] == "4"
    assert found()["profile", "--threads"] == found()["rank", "--threads"] == "2"
    assert found()["profile", "--runtime"] == "native"


def test_directories_above_are_searched_up_to_the_repository_or_home(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = project / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    (project.parent.parent / FILE).write_text("threads = 1\n")  # above the home directory
    assert not found()
    (project / FILE).write_text('directory = "models"\n')
    assert found()["upscale", "--directory"] == str(project / "models")
    (project / "a" / ".git").touch()  # of a submodule, it is a file
    assert not found()
    monkeypatch.setenv("HOME", str(below / "elsewhere"))
    (project / "a" / ".git").unlink()
    assert not found()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("thread = 2", r"no key 'thread'.*Did you mean threads"),
        ("[upscal]\nthreads = 2", r"no table \[upscal\].*Did you mean upscale"),
        ("[report]\nthreads = 2", r"no table \[report\]"),
        (
            '[evaluate]\nprecision = "fp16"',
            r"\[evaluate\] has no key 'precision'.*Choose from runtime, threads, directory",
        ),
        ('[upscale]\noverwrite = "yes"', r"has no key 'overwrite'"),
        ('output = "results"', r"output belongs in the table"),
        ("threads = 2.5", r"threads must be an integer"),
        ("threads = true", r"threads must be an integer"),
        ('runtime = ["native"]', r"runtime must be a text"),
        ('runtime = ""', r"runtime must be a text"),
        ("threads =", r"is not TOML"),
    ],
)
def test_what_is_wrong_is_an_error(content: str, words: str, project: Path) -> None:
    (project / FILE).write_text(content)
    with pytest.raises(InputError) as caught:
        read_defaults()
    assert re.search(words, str(caught.value), re.S)
    assert FILE in str(caught.value)


def test_a_byte_order_mark_is_not_content(project: Path) -> None:
    (project / FILE).write_bytes(b"\xef\xbb\xbf[web]\noutput = 'page'\n")  # as editors on Windows write it
    assert read_defaults() == (Default("web", "--output", "page", FILE),)


def test_a_diagnosis_shows_them(project: Path) -> None:
    (project / FILE).write_text("[upscale]\nthreads = 2\n")
    assert diagnose().defaults == (Default("upscale", "--threads", "2", FILE),)
    (project / FILE).write_text("thread = 2")
    broken = diagnose()
    assert broken.defaults == ()
    assert "no key 'thread'" in broken.defaults_problem


def test_commands_use_them_and_the_command_line_wins(project: Path, toolkit_command: Command) -> None:
    (project / FILE).write_text('directory = "models"\n[upscale]\nruntime = "frobnicate"\nprecision = "fp99"\n')
    (project / "models").mkdir()
    (project / "a.png").touch()
    refused = toolkit_command("upscale", "a.png", cwd=project)
    assert refused.returncode == 2
    assert 'invalid value "fp99"' in refused.stderr and FILE in refused.stderr
    wrong = toolkit_command("upscale", "a.png", "--precision", "fp32", cwd=project)
    assert wrong.returncode == 2
    assert "rt4ksr.toml: --directory models --runtime frobnicate" in wrong.stderr
    assert "no runtime" in wrong.stderr
    assert toolkit_command("upscale", "--help", cwd=project).returncode == 0


@pytest.mark.slow
def test_doctor_shows_them(project: Path, toolkit_command: Command) -> None:
    (project / FILE).write_text("threads = 2\n[upscale]\nthreads = 4\n")
    shown = toolkit_command("doctor", cwd=project).stdout
    assert re.search(r"--threads \(ablate, .*tune\) +2 +rt4ksr\.toml", shown)
    assert re.search(r"--threads \(upscale\) +4 +rt4ksr\.toml", shown)
