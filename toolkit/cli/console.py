"""Terminal output: results on stdout, everything for people's eyes only on stderr.

Text is never markup here: strings are printed as they are, with their control characters made visible. Styles are in
the templates of `styled`, which takes values apart from them.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Live
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

import toolkit
from toolkit.quoting import json_document, terminal

_WIDTH = 100
"""Where output goes to a file or another program, and the width tables are made for."""


_FIELD = re.compile(r"\{(:[^{}]*)?\}")


class _Console(Console):
    """A console on which no text is markup, an emoji code, or a control sequence."""

    def __init__(self, *, stderr: bool, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, *args: Any, **options: Any) -> Text:
        """Before layout, so that columns are as wide as what is shown."""
        return super().render_str(terminal(text), *args, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """After layout too: for texts that others have made, such as the errors of Cyclopts."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(terminal(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """The reader has gone (`toolkit inspect x | head`): nothing failed, where rich would exit with 1."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


def _console(*, stderr: bool) -> Console:
    console = plain_console(stderr=stderr)
    return console if console.is_terminal else _Console(stderr=stderr, width=_WIDTH)


def plain_console(*, stderr: bool) -> Console:
    """One as wide as rich says, for the help and the usage errors of Cyclopts."""
    return _Console(stderr=stderr)


out = _console(stderr=False)
err = _console(stderr=True)


def styled(template: str, *values: object) -> Text:
    """Text with styles.

    Args:
        template: with rich's markup, and `{}` or `{:format}` for each value. Written in the code, never made of values.
        values: shown as they are, with their control characters made visible; texts keep their own styles. Lines after
            the first are indented: none of them can pass for a message of its own.
    """
    marked, made, end = Text.from_markup(template, emoji=False), Text(), 0
    for field, value in zip(_FIELD.finditer(marked.plain), values, strict=True):
        made.append_text(marked[end : field.start()])
        shown = value.copy() if isinstance(value, Text) else Text(_shown(value, (field[1] or ":")[1:]))
        for span in marked[field.start() : field.end()].spans:
            shown.stylize_before(span.style)
        made.append_text(shown)
        end = field.end()
    return made.append_text(marked[end:])


def _shown(value: object, form: str) -> str:
    return terminal(format(value, form)).replace("\n", "\n  ")


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table in the house style; columns named in `right` are right-aligned."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if column in right else "left", no_wrap=index == 0 or column in right)
    return made


def print_documents(documents: Sequence[object]) -> None:
    """One JSON document on stdout: the only one, or a list of all."""
    content = _encodable(msgspec.to_builtins(documents[0] if len(documents) == 1 else documents))
    print_json(msgspec.json.format(msgspec.json.encode(content), indent=2).decode())


def print_json(document: str) -> None:
    """A JSON document on stdout, with one end of line after it."""
    print(json_document(document.rstrip("\n")))


def _encodable(content: Any) -> Any:
    """The same, but for names of files that are no UTF-8: JSON cannot hold them, so they are written as they show."""
    if isinstance(content, str):
        return content.encode(errors="backslashreplace").decode()
    if isinstance(content, dict):
        return {_encodable(key): _encodable(value) for key, value in content.items()}
    return [_encodable(item) for item in content] if isinstance(content, list | tuple) else content


def verdict(passed: bool) -> Text:
    return styled("[green]ok[/]") if passed else styled("[bold red]FAILED[/]")


def warn(notes: tuple[str, ...]) -> None:
    """Notes a user must not miss."""
    for note in notes:
        err.print(styled("[bold yellow]note:[/] {}", note), soft_wrap=True)


@contextmanager
def progress_bar(title: str = "") -> Iterator[Callable[[toolkit.Progress], None]]:
    """A display of an operation's progress on stderr; nothing is shown where stderr is not a terminal.

    A bar with the time left where the operation reports a fraction, a moving one before that.

    Args:
        title: written before the current activity.
    """
    what, left = (TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[left]"))
    columns = SpinnerColumn(), what, BarColumn(), left, TimeElapsedColumn()
    with Live(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        task = shown.add_task(title or "starting", total=None, left="")
        begun = time.monotonic()

        def show(progress: toolkit.Progress) -> None:
            seconds, fraction = progress.seconds_left, progress.fraction
            if seconds is None and fraction:
                seconds = (time.monotonic() - begun) * (1 - fraction) / fraction
            text = "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
            described = f"{title}: {progress.activity}" if title else progress.activity
            total = None if fraction is None else 1.0
            shown.update(task, description=terminal(described), total=total, completed=fraction or 0.0, left=text)

        yield show
