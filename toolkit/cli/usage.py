"""What Cyclopts does not say about a command line as the toolkit does: fractions, and the form of its errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from cyclopts import App, ArgumentCollection, CycloptsError, UnusedCliTokensError

from toolkit.errors import InputError


def refuse_fractions(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse `2.9` for every option that takes integers: Cyclopts would round it, and say nothing.

    Cyclopts calls it, as an entry of `App.config`, with the arguments of the command that runs, before they are
    converted.

    Raises:
        InputError: there is such a value.
    """
    for argument in arguments:
        if int not in (kinds := set(_plain(argument.hint))) or kinds & {float, str}:
            continue
        for token in argument.tokens:
            if _is_fraction(token.value):
                option = token.keyword or argument.name
                raise InputError(f"{option} {token.value} is not a whole number", "Give an integer.")


def usage_error(error: CycloptsError) -> InputError:
    """An error of Cyclopts in the form of the toolkit's own."""
    command = " ".join(("toolkit", *(error.command_chain or ())))
    help_remedy = f"`{command} --help` lists what it takes."
    if isinstance(error, UnusedCliTokensError):
        unused = " ".join(error.unused_tokens or ())
        return InputError(f"{command} does not take {unused}", help_remedy)
    text = str(error).strip()
    text = text if text.endswith("...") else text.removesuffix(".")
    return InputError(text[:1].lower() + text[1:], help_remedy)


def _plain(hint: Any) -> Iterator[Any]:
    """A type without `Annotated`, unions and containers."""
    inner: Iterable[Any] = get_args(hint)
    if not inner:
        yield hint
    for part in inner:
        yield from _plain(part)


def _is_fraction(text: str) -> bool:
    try:
        return not float(text).is_integer()
    except ValueError:
        return False  # no number: Cyclopts says so
