"""Hooks of MkDocs: pages made from the program, pages from outside docs/, and the links between all of them."""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from cyclopts.docs.markdown import generate_markdown_docs
from formats import formats
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import toolkit
from toolkit.cli import _COMMANDS, _app

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "toolkit/network/weights/README.md": "weights.md",
}
"""Pages outside docs/, and where they are in the site. docs/ itself is the root of the site."""

_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")
_GROUPS = {
    "artifact": "Artifacts",
    "graph": "Artifacts",
    "network": "Artifacts",
    "verification": "Artifacts",
    "media": "Upscaling",
    "port": "Upscaling",
    "workloads": "Upscaling",
    "runtimes": "Runtimes",
    "system": "Runtimes",
    "diagnosis": "Runtimes",
    "profiling": "Measuring",
    "quality": "Measuring",
    "ranking": "Measuring",
    "checks": "Measuring",
    "training": "Training",
    "precisions": "Artifacts",
    "demonstration": "Upscaling",
    "errors": "Errors",
}
"""Headings of the page of Python names, by the module's first part."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    made = {place: (ROOT / source).read_text() for source, place in OUTSIDE.items()}
    made |= {
        "reference/cli.md": command_line(),
        "reference/python.md": python_names(),
        "reference/formats.md": formats(),
    }
    for place, content in made.items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links between files of the repository become links between pages; links to other files become their names."""
    place = page.file.src_uri
    source = next((name for name, found in OUTSIDE.items() if found == place), f"docs/{place}")

    def relinked(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        if target in OUTSIDE:
            there = OUTSIDE[target]
        elif target.startswith("docs/"):
            there = target.removeprefix("docs/")
        else:
            raise ValueError(f"{source} links to {target}, which is not part of the site")
        return f"{link[1]}{posixpath.relpath(there, posixpath.dirname(place) or '.')}{link[3] or ''}{link[4]}"

    return _LINK.sub(relinked, markdown)


def command_line() -> str:
    """All commands, with the help of the program."""
    parts = ["# Command line", "What `toolkit COMMAND --help` prints. [What the commands do](../commands.md)."]
    for title, names in _COMMANDS.items():
        parts.append(f"## {title}")
        for name in names:
            text = generate_markdown_docs(_app([name]), commands_filter=[name], generate_toc=False, no_root_title=True)
            parts.append(f"### {name}\n\n{_without_heading(text)}")
    return "\n\n".join(parts)


def _without_heading(text: str) -> str:
    """From the usage of a command on: what is before describes the program."""
    return text[text.index("```console") :]


def python_names() -> str:
    """The public names, with their docstrings."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, module in toolkit._modules().items():
        groups[_GROUPS[module.split(".")[1]]].append(f"{module}.{name}")
    parts = ["# Python names", "All are attributes of `toolkit`. [A tour](../python.md)."]
    for title in dict.fromkeys(_GROUPS.values()):
        parts.append(f"## {title}")
        parts += [f"::: {name}" for name in sorted(groups[title], key=lambda name: name.rpartition(".")[2].lower())]
    return "\n\n".join(parts)
