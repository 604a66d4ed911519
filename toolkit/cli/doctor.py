"""`toolkit doctor`."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from toolkit.cli.console import out, print_json, styled, table
from toolkit.cli.options import Json
from toolkit.defaults import Default, users_file

if TYPE_CHECKING:
    from toolkit.diagnosis import Diagnosis


def doctor(*, json: Json = False) -> None:
    """Show which runtimes work on this machine, how to make the others work, and the defaults of rt4ksr.toml."""
    from toolkit.diagnosis import diagnose

    diagnosis = diagnose()
    if json:
        print_json(diagnosis.to_json())
        return
    here = diagnosis.environment
    facts = table("", "")
    facts.show_header = False
    for name, value in (
        ("system", f"{here.system}, Python {here.python}"),
        ("processor", f"{here.processor}, {here.processors} CPUs usable, {here.memory_bytes / 2**30:.0f} GiB memory"),
        ("instructions", " ".join(here.processor_flags) or "unknown"),
        ("GPU", diagnosis.gpu),
        ("C++ compiler", diagnosis.compiler),
        ("packages", ", ".join(f"{package} {number}" for package, number in here.packages.items())),
    ):
        facts.add_row(styled("[bold]{}[/]", name), value)
    out.print(facts)
    out.print()
    runtimes = table("runtime", "works", "description")
    for runtime in diagnosis.runtimes:
        answer = styled("[green]yes[/], {}", runtime.version) if runtime.ok else styled("[red]no[/]")
        runtimes.add_row(runtime.name, answer, runtime.description)
        if not runtime.ok:
            runtimes.add_row("", "", f"{runtime.reason}\n→ {runtime.remedy}")
    out.print(runtimes)
    out.print()
    extras = table("package", "installed", "for")
    for extra in diagnosis.extras:
        answer = styled("[green]yes[/], {}", extra.version) if extra.ok else styled("[red]no[/]")
        extras.add_row(extra.package, answer, extra.serves if extra.ok else f"{extra.serves}\n→ {extra.remedy}")
    out.print(extras)
    out.print()
    _print_defaults(diagnosis)


def _print_defaults(diagnosis: Diagnosis) -> None:
    if diagnosis.defaults_problem:
        out.print(styled("[red]no defaults of options:[/] {}", diagnosis.defaults_problem), soft_wrap=True)
        return
    if not diagnosis.defaults:
        out.print(styled("no defaults of options: there is no rt4ksr.toml here or in {}", users_file().parent))
        return
    rows = table("default of", "value", "file")
    for (option, value, file), items in groupby(sorted(diagnosis.defaults, key=_setting), key=_setting):
        rows.add_row(f"{option} ({', '.join(item.command for item in items)})", value, file)
    out.print(rows)


def _setting(default: Default) -> tuple[str, str, str]:
    return default.option, default.value, default.file
