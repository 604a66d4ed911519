"""Defaults of `rt4ksr.toml` as Cyclopts takes them."""

from __future__ import annotations

from cyclopts import App, ArgumentCollection

from toolkit.cli.console import err, styled


def apply_defaults(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give options that the command line does not have their defaults, and print which.

    Cyclopts calls it, as an entry of `App.config`, with the arguments of the command that runs, before they are
    converted.

    Raises:
        InputError: a file is wrong.
    """
    from toolkit.defaults import read_defaults  # here, because `--help` needs none

    free = {argument.name for argument in arguments if not argument.tokens}
    applied = [item for item in read_defaults() if item.command in commands and item.option in free]
    if not applied:
        return
    from cyclopts.config import Dict  # takes 10 ms

    for item in applied:
        given = {item.option.removeprefix("--"): item.value}
        Dict(given, source=item.file, use_commands_as_keys=False)(app, commands, arguments)
    for file in dict.fromkeys(item.file for item in applied):
        options = " ".join(f"{item.option} {item.value}" for item in applied if item.file == file)
        err.print(styled("[dim]{:line}: {:line}[/]", file, options), soft_wrap=True)
