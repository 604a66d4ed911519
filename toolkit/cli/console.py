"""Terminal output: results on stdout, everything for people's eyes only on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

_WIDTH = 100
"""Where output goes to a file or another program, and the width tables are made for."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader has gone (`toolkit inspect x | head`): nothing failed, where rich would exit with 1."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else _Console(stderr=stderr, highlight=False, width=_WIDTH)


out = _console(stderr=False)
err = _console(stderr=True)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table in the house style; columns named in `right` are right-aligned."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        made.add_column(column, justify="right" if column in right else "left", no_wrap=index == 0 or column in right)
    return made


def print_documents(documents: Sequence[object]) -> None:
    """One JSON document on stdout: the only one, or a list of all."""
    content: object = documents[0] if len(documents) == 1 else documents
    print(msgspec.json.format(msgspec.json.encode(content), indent=2).decode())


def verdict(passed: bool) -> str:
    return "[green]ok[/]" if passed else "[bold red]FAILED[/]"


def warn(notes: tuple[str, ...]) -> None:
    """Notes a user must not miss."""
    for note in notes:
        err.print(f"[bold yellow]note:[/] {escape(note)}", soft_wrap=True)


@contextmanager
def steps(title: str) -> Iterator[Callable[[str], None]]:
    """A spinner that shows the current step; silent when stderr is not a terminal."""
    columns = SpinnerColumn(), TextColumn("{task.fields[name]}: {task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("starting", total=None, name=title)
        yield lambda step: progress.update(task, description=step)


@contextmanager
def bar() -> Iterator[Callable[[str, float, float | None], None]]:
    """A progress bar with the time left, as told or else guessed from the share done; silent when stderr is not a
    terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"), TimeElapsedColumn()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("starting", total=1.0, left="")
        begin = time.monotonic()

        def advance(what: str, share: float, left: float | None) -> None:
            if left is None and share > 0:
                left = (time.monotonic() - begin) * (1 - share) / share
            text = "" if left is None else f"{left:.0f} s left"
            progress.update(task, description=what, completed=share, left=text)

        yield advance
