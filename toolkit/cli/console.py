"""Terminal output: results on standard output, messages and progress on standard error.

Text is never interpreted as markup: strings are printed literally, with control characters made visible. Only the
templates of `styled` contain styles; values are passed to it separately.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from toolkit.quoting import json_document, terminal, visible
from toolkit.system.progress import Progress, ProgressCallback

_WIDTH = 100
"""Columns, if the output is not a terminal. Tables are designed for it."""

_FIELD = re.compile(r"\{(:[^{}]*)?\}")


class _Console(Console):
    """A console on which no text is markup, an emoji code, or a control sequence."""

    def __init__(self, *, stderr: bool, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, *args: Any, **options: Any) -> Text:
        """Escape before layout, so that columns are as wide as the text that is shown."""
        return super().render_str(terminal(text), *args, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Escape after layout too: for text from libraries, such as the error messages of Cyclopts."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(terminal(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Exit with 0 when the reader has exited (`toolkit inspect x | head`); rich would exit with 1."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


def _console(*, stderr: bool) -> Console:
    console = plain_console(stderr=stderr)
    return console if console.is_terminal else _Console(stderr=stderr, width=_WIDTH)


def plain_console(*, stderr: bool) -> Console:
    """A console as wide as rich detects, for the help and usage errors of Cyclopts."""
    return _Console(stderr=stderr)


out = _console(stderr=False)
err = _console(stderr=True)


_LINE = "line"


def styled(template: str, *values: object) -> Text:
    """Text with styles.

    Args:
        template: rich markup with `{}` or `{:format}` for each value. A literal, never built from values. `{:line}`
            shows line breaks as escapes, for names of files.
        values: printed literally, with control characters made visible; rich texts keep their styles. Lines after the
            first are indented, so that none can look like a separate message.
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
    if form == _LINE:
        return visible(str(value))
    return terminal(format(value, form)).replace("\n", "\n  ")


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without borders; columns named in `right` are right-aligned."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if column in right else "left", no_wrap=index == 0 or column in right)
    return made


def print_documents(documents: Sequence[object]) -> None:
    """Print one JSON document on standard output: the only item, or a list of all."""
    import msgspec

    content = _encodable(msgspec.to_builtins(documents[0] if len(documents) == 1 else documents, enc_hook=os.fspath))
    print_json(msgspec.json.format(msgspec.json.encode(content), indent=2).decode())


def print_json(document: str) -> None:
    """Print a JSON document on standard output, followed by one newline."""
    print(json_document(document.rstrip("\n")))


def _encodable(content: Any) -> Any:
    """The same content with file names that are not UTF-8 escaped, because JSON cannot represent them."""
    if isinstance(content, str):
        return content.encode(errors="backslashreplace").decode()
    if isinstance(content, dict):
        return {_encodable(key): _encodable(value) for key, value in content.items()}
    return [_encodable(item) for item in content] if isinstance(content, list | tuple) else content


def verdict(passed: bool | None) -> Text:
    """`ok`, `FAILED`, or `no verdict` for None."""
    if passed is None:
        return styled("[yellow]no verdict[/]")
    return styled("[green]ok[/]") if passed else styled("[bold red]FAILED[/]")


def budget_verdict(within: bool | None) -> Text:
    """As `verdict`, of a quality budget: to be over it is a fact to decide by, and no error unless it was demanded."""
    return verdict(within) if within is not False else styled("[bold yellow]over budget[/]")


def warn(notes: tuple[str, ...]) -> None:
    """Print notes on standard error."""
    for note in notes:
        err.print(styled("[bold yellow]note:[/] {}", note), soft_wrap=True)


@contextmanager
def progress_bar(title: str = "") -> Iterator[ProgressCallback]:
    """A display of an operation's progress on stderr; nothing is shown where stderr is not a terminal.

    A bar with the time left where the operation reports a fraction, a moving one before that.

    Args:
        title: written before the current activity.
    """
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Live

    what, left = (TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[left]"))
    columns = SpinnerColumn(), what, BarColumn(), left, TimeElapsedColumn()
    with Live(*columns, console=err, transient=True, disable=not err.is_terminal) as shown:
        task = shown.add_task(title or "starting", total=None, left="")
        begun = time.monotonic()

        def show(progress: Progress) -> None:
            seconds, fraction = progress.seconds_left, progress.fraction
            if seconds is None and fraction:
                seconds = (time.monotonic() - begun) * (1 - fraction) / fraction
            text = "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
            described = f"{title}: {progress.activity}" if title else progress.activity
            total = None if fraction is None else 1.0
            shown.update(task, description=terminal(described), total=total, completed=fraction or 0.0, left=text)

        yield show
