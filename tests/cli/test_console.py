"""What is printed is text: no markup, no emoji code, no control sequence, whatever it says."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import FRAGMENTS, hidden, texts
from hypothesis import given, settings
from rich.panel import Panel
from rich.text import Text

from toolkit.cli import console
from toolkit.quoting import terminal

SGR = re.compile(r"\x1b\[[\d;]*m")


def printed(*renderables: object, width: int = 4000) -> str:
    """As a terminal with colours gets it, without the colours."""
    stream = io.StringIO()
    terminal_ = type(console.out)(stderr=False, width=width)
    terminal_.file, terminal_._force_terminal = stream, True
    for renderable in renderables:
        terminal_.print(renderable, soft_wrap=True)
    return SGR.sub("", stream.getvalue())


@settings(deadline=None)
@given(texts(surrogates=True))
def test_every_way_of_printing_shows_the_text_itself(text: str) -> None:
    shown = terminal(text).expandtabs(8)
    assert shown in printed(text).replace("\n ", "\n") or "\t" in text or "\n" in text
    rows = console.table("name", text)
    rows.add_row(text, console.styled("[bold]{}[/]", text))
    got = printed(text, console.styled("[red]{}[/] x", text), rows, Panel(Text(text)), Panel(text))
    assert not hidden(got)


@pytest.mark.parametrize("text", [fragment for fragment in FRAGMENTS if fragment.isprintable()])
def test_no_text_is_markup(text: str) -> None:
    assert printed(text) == f"{text}\n"
    assert printed(console.styled("[bold]{}[/]|[red]{}[/]", text, text)) == f"{text}|{text}\n"


def test_styles_come_from_the_template_only() -> None:
    made = console.styled("[bold]{}[/] took {:.1f} s: {}", "[red]x[/]", 2.25, console.verdict(True))
    assert made.plain == "[red]x[/] took 2.2 s: ok"
    assert [(span.start, span.end, str(span.style)) for span in made.spans] == [(0, 9, "bold"), (22, 24, "green")]
    with pytest.raises(ValueError, match="argument"):
        console.styled("{}", 1, 2)


def test_no_line_of_a_value_passes_for_a_message() -> None:
    assert console.styled("error: {}", "a\nnote: all checks passed").plain == "error: a\n  note: all checks passed"


def test_json_of_a_name_that_is_no_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_documents([{"source": "\udcff\x9b.png"}])
    text = capsys.readouterr().out
    assert json.loads(text) == {"source": "\\udcff\x9b.png"}
    assert not hidden(text)


def toolkit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from toolkit.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", timeout=120, check=False)


@pytest.mark.parametrize("name", ["\x1b[2J\x9b31m[/]\n", "\udcff[bold]", ":smile: [red]"])
def test_errors_about_names_of_files(name: str, tmp_path: Path) -> None:
    for arguments in (["inspect", tmp_path / f"{name}.onnx"], ["upscale", tmp_path / f"{name}.png"], ["report", name]):
        got = toolkit(*arguments)
        assert got.returncode == 2 and "error:" in got.stderr, got.stderr
        assert "Traceback" not in got.stderr
        assert not hidden(got.stderr + got.stdout)
        assert terminal(name).strip() in got.stderr.replace("\n  ", "\n")


def test_usage_errors_show_what_was_typed() -> None:
    got = toolkit("report", "--\x1b[31m[/]x")
    assert got.returncode and not hidden(got.stderr)
    assert "[/]x" in got.stderr
